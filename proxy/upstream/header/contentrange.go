package header

import (
	"strconv"
	"strings"
)

// Range is a Content-Range header of one byte range: bytes First to Last, of Total. Total is -1 when it is not known.
type Range struct{ First, Last, Total int64 }

// ContentRange reads "bytes 0-499/1234" or "bytes 0-499/*" (RFC 9110, section 14.4). ok is false for anything else, and for
// ranges that contradict themselves.
func ContentRange(s string) (r Range, ok bool) {
	unit, rest, found := strings.Cut(s, " ")
	if !found || !strings.EqualFold(unit, "bytes") {
		return Range{}, false
	}
	span, total, found := strings.Cut(strings.TrimSpace(rest), "/")
	if !found {
		return Range{}, false
	}
	first, last, found := strings.Cut(span, "-")
	if !found {
		return Range{}, false
	}
	r.Total = -1
	okTotal := true
	if total != "*" {
		r.Total, okTotal = parseSize(total)
	}
	var okFirst, okLast bool
	r.First, okFirst = parseSize(first)
	r.Last, okLast = parseSize(last)
	if !okFirst || !okLast || !okTotal || r.Last < r.First || (r.Total >= 0 && r.Last >= r.Total) {
		return Range{}, false
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
