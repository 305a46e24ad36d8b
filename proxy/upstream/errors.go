package upstream

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Sentinels; they are wrapped, so use errors.Is.
var (
	// ErrVerify says that the bytes upstream sent are not the ones that were asked for: wrong digest, wrong size,
	// trailing data.
	ErrVerify = errors.New("content does not match its digest")
	// ErrTooLarge says that a document is longer than its limit.
	ErrTooLarge = errors.New("document too large")
	// ErrRangeIgnored says that upstream answered a ranged request with the whole blob.
	ErrRangeIgnored = errors.New("upstream ignored the range")
	// ErrRangeNotSatisfiable says that the range asked for starts at or after the end of the blob.
	ErrRangeNotSatisfiable = errors.New("range not satisfiable")
	// ErrRefused says that Strata would not go where upstream sent it: a private address, plain http, too many redirects.
	ErrRefused = errors.New("refused")
	// ErrNotPublic is why an address is refused that the configuration does not name.
	ErrNotPublic = errors.New("not a public address")
	// ErrHeld says that a request was not sent: the server failed too often, asked to be left alone, or a limit is used up.
	ErrHeld = errors.New("not asked")
	// ErrStalled says that upstream stopped sending in the middle of an answer.
	ErrStalled = errors.New("upstream stopped sending")
)

// Kind is what went wrong, in the terms a caller acts on. The values are stable and serve as metric labels.
type Kind string

// The kinds of failure.
const (
	// NotFound: no such repository, manifest, tag or blob.
	NotFound Kind = "not_found"
	// Unauthorized: credentials are missing or wrong. Several registries answer so for repositories that do not exist.
	Unauthorized Kind = "unauthorized"
	// Denied: the credentials do not suffice. GHCR answers so for repositories that do not exist.
	Denied Kind = "denied"
	// RateLimited: 429 or TOOMANYREQUESTS. RetryAfter holds upstream's wish, if it uttered one.
	RateLimited Kind = "rate_limited"
	// Unavailable: 5xx, connection refused or reset, no such host.
	Unavailable Kind = "unavailable"
	// Timeout: no connection, no response header or no further byte of the body in time.
	Timeout Kind = "timeout"
	// Invalid: wrong bytes. The error wraps ErrVerify where a digest or a size was missed.
	Invalid Kind = "invalid"
	// TooLarge: a document over its limit. The error wraps ErrTooLarge.
	TooLarge Kind = "too_large"
	// NotConfigured: the host is not among the configured upstreams, or its configuration cannot be used.
	NotConfigured Kind = "not_configured"
	// Protocol: an answer that the protocol or our policy does not allow: an unexpected status, an untrusted certificate, a
	// refused redirect (the error wraps ErrRefused).
	Protocol Kind = "protocol"
)

// Error is a failure to get something from an upstream. Its message is one line and holds neither credentials nor tokens
// nor URL queries.
type Error struct {
	// Host and Repository are the name in its canonical form: "docker.io", "library/alpine".
	Host       string
	Repository string
	// Op is what was tried, as a phrase: "get manifest", "get blob", "get token", …
	Op   string
	Kind Kind
	// Status is the HTTP status, 0 when there was no answer or when its bytes are the problem.
	Status int
	// Code is the first error code of upstream's error document ("MANIFEST_UNKNOWN"), if there was one.
	Code string
	// RetryAfter is how long upstream asked us to stay away, 0 if it did not say.
	RetryAfter time.Duration
	// Err is the cause. It may be nil.
	Err error
}

// Errorf returns a failure of a kind whose cause is made like fmt.Errorf's. What it was of is filled in further up.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Is reports whether an error is, or wraps, an upstream's failure of one of the kinds.
func Is(err error, kinds ...Kind) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(kinds, e.Kind)
}

// Absent reports whether an error says that an upstream does not have a thing, or does not show that it has, in contrast to
// being out of reach.
func Absent(err error) bool { return Is(err, NotFound, Unauthorized, Denied) }

// Error returns what failed, on what, and why, in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Host != "" {
		b.WriteString(" from upstream " + e.Host)
		if e.Repository != "" {
			b.WriteString("/" + e.Repository)
		}
	}
	b.WriteString(": " + e.Kind.text())
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, ", retry after %s", e.RetryAfter.Round(time.Second))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if remedy := e.remedy(); remedy != "" {
		b.WriteString(": " + remedy)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Transient reports whether the same request may succeed later without anybody changing anything.
func (e *Error) Transient() bool {
	switch e.Kind {
	case RateLimited, Unavailable, Timeout:
		return true
	default:
		return false
	}
}

func (k Kind) text() string {
	switch k {
	case NotFound:
		return "not found"
	case Unauthorized:
		return "authentication required, or it does not exist"
	case Denied:
		return "access denied, or it does not exist"
	case RateLimited:
		return "rate limited"
	case Invalid:
		return "invalid content"
	case TooLarge:
		return "too large"
	case NotConfigured:
		return "not configured"
	case Protocol:
		return "unacceptable answer"
	default:
		return string(k)
	}
}
