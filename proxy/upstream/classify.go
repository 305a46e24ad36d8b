package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
)

// Classify tells what kind of failure an error of the network is. An error without a better name is Unavailable.
func Classify(err error) Kind {
	var (
		untrusted *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		netErr    net.Error
	)
	switch {
	case errors.Is(err, ErrRefused),
		errors.Is(err, ErrRangeIgnored),
		errors.As(err, &untrusted),
		errors.As(err, &record),
		errors.Is(err, http.ErrSchemeMismatch):
		return Protocol
	case errors.Is(err, ErrTooLarge):
		return TooLarge
	case errors.Is(err, ErrVerify):
		return Invalid
	case errors.Is(err, ErrStalled),
		errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		return Timeout
	default:
		return Unavailable
	}
}

// StatusKind tells what a status and the error codes that came with it mean. The codes refine a 4xx; a 5xx is an outage
// whatever its document says.
func StatusKind(status int, codes []string) Kind {
	has := func(code string) bool { return slices.Contains(codes, code) }
	switch {
	case status == http.StatusNotImplemented:
		return Protocol
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return Unavailable
	case status == http.StatusTooManyRequests, has("TOOMANYREQUESTS"):
		return RateLimited
	case has("NAME_UNKNOWN"), has("MANIFEST_UNKNOWN"), has("BLOB_UNKNOWN"), has("NAME_INVALID"):
		return NotFound
	case has("DENIED"):
		return Denied
	case status == http.StatusUnauthorized, has("UNAUTHORIZED"):
		return Unauthorized
	case status == http.StatusForbidden:
		return Denied
	case status == http.StatusNotFound, status == http.StatusGone:
		return NotFound
	default:
		return Protocol
	}
}
