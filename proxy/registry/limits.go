package registry

import (
	"fmt"
	"net/http"
	"strings"
)

// What a request may hold. The longest legal path, with a name of 255 characters and a SHA-512 digest, has about 400 bytes.
const (
	maxPath       = 1024
	maxQuery      = 4096
	maxHeaders    = 256 // lines; real clients send up to about 20
	maxRanges     = 1024
	maxRangeBytes = 64 << 10
)

// checkLimits refuses requests that are larger than any client needs.
func checkLimits(r *http.Request) *Error {
	if len(r.URL.Path) > maxPath || len(r.URL.RawPath) > 3*maxPath {
		return overLimit(http.StatusRequestURITooLong, "the path is too long", maxPath)
	}
	if len(r.URL.RawQuery) > maxQuery {
		return overLimit(http.StatusRequestURITooLong, "the query is too long", maxQuery)
	}
	lines := 0
	for _, values := range r.Header {
		lines += len(values)
	}
	if lines > maxHeaders {
		return overLimit(http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("%d header lines", lines), maxHeaders)
	}
	return nil
}

// checkRanges refuses more ranges than clients of zstd:chunked send at once. They take 400 as the advice to send fewer.
func checkRanges(r *http.Request) *Error {
	if rangeIgnored(r) {
		return nil
	}
	header := r.Header.Get("Range")
	e := &Error{Status: http.StatusBadRequest, Code: codeRangeInvalid}
	if len(header) > maxRangeBytes {
		e.Message = fmt.Sprintf("the Range header has %d bytes; the limit is %d", len(header), maxRangeBytes)
		return e
	}
	if n := strings.Count(header, ",") + 1; n > maxRanges {
		e.Message = fmt.Sprintf("%d ranges in one request; the limit is %d", n, maxRanges)
		return e
	}
	return nil
}
