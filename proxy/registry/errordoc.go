package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/strata-oci/strata/proxy/name"
)

// WriteError answers a request with e's document; a HEAD gets the same headers and no body. Headers of a successful answer
// that were set before are taken back. It is exported for the middlewares in front of this package's handler.
func WriteError(w http.ResponseWriter, r *http.Request, e *Error) {
	h := w.Header()
	for _, k := range []string{
		"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Etag", "Last-Modified", headerDigest, headerSource,
		headerServed, headerFilters,
	} {
		h.Del(k)
	}
	forBrowsers(h)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	if e.RetryAfter > 0 {
		seconds := (e.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	if denial, ok := e.Detail.(Denial); ok {
		h.Set(headerDeniedBy, denial.By)
	}
	status := e.Status
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	writeBody(w, r, status, errorDocument(e))
}

// errorDocument never fails: a detail that JSON cannot hold is left out.
func errorDocument(e *Error) []byte {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}
	type document struct {
		Errors []entry `json:"errors"`
	}
	first := entry{Code: e.Code, Message: e.Message, Detail: e.Detail}
	if first.Code == "" {
		first.Code = codeUnknown
	}
	b, err := json.Marshal(document{[]entry{first}})
	if err != nil {
		first.Detail = nil
		b, _ = json.Marshal(document{[]entry{first}})
	}
	return b
}

// writeBody sends a whole body whose headers, but for Content-Length, are set. The client's loss of it is the client's.
func writeBody(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// classify turns any error into one for clients. What is not known to be theirs is kept from them.
func classify(err error) *Error {
	var (
		known   *Error
		network net.Error
	)
	switch {
	case errors.As(err, &known):
		if known.Err == nil && err != error(known) {
			return known.WithCause(err)
		}
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return GatewayTimeout("the answer took too long").WithCause(err)
	case errors.Is(err, context.Canceled):
		// The client is still there; what was cancelled is work that it shared with others.
		return Unavailable("the request was interrupted", time.Second).WithCause(err)
	case errors.As(err, &network) && network.Timeout():
		return GatewayTimeout("the upstream took too long").WithCause(err)
	case errors.As(err, &network):
		return BadGateway("the upstream cannot be reached").WithCause(err)
	}
	return internal(err)
}

// nameError turns an error of package name into one for clients; its messages are made for them.
func nameError(err error) *Error {
	var e *Error
	switch {
	case errors.Is(err, name.ErrNoUpstream):
		e = NameUnknown(err.Error())
	case errors.Is(err, name.ErrTagInvalid):
		e = TagInvalid(err.Error())
	case errors.Is(err, name.ErrDigestInvalid):
		e = DigestInvalid(err.Error())
	default:
		e = NameInvalid(err.Error())
	}
	return e
}
