package registry

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Error codes: those of the OCI distribution specification, and those that distribution adds to them. codePrecondition is
// our own; no list has a code for a failed If-Match.
const (
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeDenied          = "DENIED"
	codeDigestInvalid   = "DIGEST_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeNameInvalid     = "NAME_INVALID"
	codeNameUnknown     = "NAME_UNKNOWN"
	codePagination      = "PAGINATION_NUMBER_INVALID"
	codePrecondition    = "PRECONDITION_FAILED"
	codeRangeInvalid    = "RANGE_INVALID"
	codeTagInvalid      = "TAG_INVALID"
	codeTooManyRequests = "TOOMANYREQUESTS"
	codeUnauthorized    = "UNAUTHORIZED"
	codeUnavailable     = "UNAVAILABLE"
	codeUnknown         = "UNKNOWN"
	codeUnsupported     = "UNSUPPORTED"
)

// Error is an error that clients see, as an error document of the OCI distribution specification.
type Error struct {
	Status  int    // of HTTP, 400 to 599
	Code    string // of the document, capitals and underscores
	Message string // for people; holds nothing that clients should not know
	Detail  any    // goes into the document as JSON; nil leaves it out
	// RetryAfter becomes the Retry-After header, in whole seconds, rounded up. Zero: none.
	RetryAfter time.Duration
	// Err is the cause. It is logged and never sent.
	Err error
}

// Error returns the code, the message and the cause, unless the message tells that already.
func (e *Error) Error() string {
	s := e.Code + ": " + e.Message
	if e.Err == nil {
		return s
	}
	if cause := e.Err.Error(); !strings.Contains(e.Message, cause) {
		s += ": " + cause
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// WithCause returns a copy of e that was caused by err.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// WithDetail returns a copy of e with a detail for its document.
func (e *Error) WithDetail(detail any) *Error {
	c := *e
	c.Detail = detail
	return &c
}

// ManifestUnknown is for a tag or digest that a repository does not have.
func ManifestUnknown(message string) *Error {
	return &Error{Status: http.StatusNotFound, Code: codeManifestUnknown, Message: message}
}

// BlobUnknown is for a layer or config that a repository does not have.
func BlobUnknown(message string) *Error {
	return &Error{Status: http.StatusNotFound, Code: codeBlobUnknown, Message: message}
}

// NameUnknown is for a repository that does not exist.
func NameUnknown(message string) *Error {
	return &Error{Status: http.StatusNotFound, Code: codeNameUnknown, Message: message}
}

// NameInvalid is for a name that breaks the grammar.
func NameInvalid(message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: codeNameInvalid, Message: message}
}

// DigestInvalid is for a digest that breaks the grammar.
func DigestInvalid(message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: codeDigestInvalid, Message: message}
}

// TagInvalid is for a tag that breaks the grammar. Since no manifest can have it, the status is 404, as the specification's
// conformance tests ask.
func TagInvalid(message string) *Error {
	return &Error{Status: http.StatusNotFound, Code: codeTagInvalid, Message: message}
}

// Unauthorized is for a client that this proxy wants to know. Whoever returns it sets the proxy's own WWW-Authenticate. A
// proxy whom the upstream does not know returns Denied instead: the client has nothing to offer to the upstream's realm.
func Unauthorized(message string) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: codeUnauthorized, Message: message}
}

// Denied is for access that this proxy or the upstream refuses.
func Denied(message string) *Error {
	return &Error{Status: http.StatusForbidden, Code: codeDenied, Message: message}
}

// Denial is the detail of a DENIED that no login of the client changes, and its Strata-Denied-By header.
type Denial struct {
	// By says what denies: "verify", the repository's policy of signatures, or "upstream".
	By string `json:"denied_by"`
}

// DeniedByPolicy is for an image that nobody gets while it is not signed as its repository asks, and DeniedByUpstream for
// what the upstream does not give to the proxy.
func DeniedByPolicy(message string) *Error { return Denied(message).WithDetail(Denial{"verify"}) }

// DeniedByUpstream is described at DeniedByPolicy.
func DeniedByUpstream(message string) *Error { return Denied(message).WithDetail(Denial{"upstream"}) }

// TooManyRequests is for a rate limit, of this proxy or of the upstream. Zero: not known when to ask again.
func TooManyRequests(retryAfter time.Duration) *Error {
	return &Error{
		Status: http.StatusTooManyRequests, Code: codeTooManyRequests, Message: "too many requests", RetryAfter: retryAfter,
	}
}

// Unavailable is for an upstream or a storage that is out of reach for now. Zero: not known when to ask again.
func Unavailable(message string, retryAfter time.Duration) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: codeUnavailable, Message: message, RetryAfter: retryAfter}
}

// BadGateway is for an upstream whose answer is of no use.
func BadGateway(message string) *Error {
	return &Error{Status: http.StatusBadGateway, Code: codeUnavailable, Message: message}
}

// LoopDetected is for a registry whose name leads the proxy to itself.
func LoopDetected(host string) *Error {
	return &Error{Status: http.StatusLoopDetected, Code: codeUnavailable, Message: "this proxy is led to itself for " +
		host +
		": have it resolve that name as the world does, or give its upstream a url, via or proxy that leads elsewhere"}
}

// GatewayTimeout is for an upstream that took too long.
func GatewayTimeout(message string) *Error {
	return &Error{Status: http.StatusGatewayTimeout, Code: codeUnavailable, Message: message}
}

// Unsupported is for a method that this registry does not have.
func Unsupported(message string) *Error {
	return &Error{Status: http.StatusMethodNotAllowed, Code: codeUnsupported, Message: message}
}

// RangeInvalid is for ranges none of which lies within the content.
func RangeInvalid(message string) *Error {
	return &Error{Status: http.StatusRequestedRangeNotSatisfiable, Code: codeRangeInvalid, Message: message}
}

// NotFound is for a path that this registry does not have.
func NotFound(message string) *Error {
	return &Error{Status: http.StatusNotFound, Code: codeUnsupported, Message: message}
}

func internal(err error) *Error {
	return &Error{Status: http.StatusInternalServerError, Code: codeUnknown, Message: "internal error", Err: err}
}

// overLimit is for a request that is larger than this registry takes.
func overLimit(status int, what string, limit int) *Error {
	return &Error{Status: status, Code: codeUnsupported, Message: fmt.Sprintf("%s; the limit is %d", what, limit)}
}
