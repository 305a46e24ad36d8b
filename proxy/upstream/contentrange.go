package upstream

import (
	"strconv"
	"strings"
)

// contentRange is a Content-Range header of one byte range: bytes first to last, of total. total is -1 when it is not known.
type contentRange struct{ first, last, total int64 }

// parseContentRange reads "bytes 0-499/1234" or "bytes 0-499/*" (RFC 9110, section 14.4). ok is false for anything else, and for
// ranges that contradict themselves.
func parseContentRange(s string) (r contentRange, ok bool) {
	unit, rest, found := strings.Cut(s, " ")
	if !found || !strings.EqualFold(unit, "bytes") {
		return contentRange{}, false
	}
	span, total, found := strings.Cut(strings.TrimSpace(rest), "/")
	if !found {
		return contentRange{}, false
	}
	first, last, found := strings.Cut(span, "-")
	if !found {
		return contentRange{}, false
	}
	r.total = -1
	okTotal := true
	if total != "*" {
		r.total, okTotal = parseSize(total)
	}
	var okFirst, okLast bool
	r.first, okFirst = parseSize(first)
	r.last, okLast = parseSize(last)
	if !okFirst || !okLast || !okTotal || r.last < r.first || (r.total >= 0 && r.last >= r.total) {
		return contentRange{}, false
	}
	return r, true
}

// parseSize reads a number of bytes: digits only, below 2^62 so that sums of two do not overflow.
func parseSize(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 62)
	if err != nil {
		return 0, false
	}
	return int64(n), true
}
