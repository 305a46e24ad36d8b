package registry

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// What a request may hold. The longest legal path, with a name of 255 characters and a SHA-512 digest, has about 400 bytes.
const (
	maxPath    = 1024
	maxQuery   = 4096
	maxHeaders = 256 // lines; real clients send up to about 20
	maxRanges  = 1024
	// rangeStep is what a backend that is no file may fetch for a range, however short, and maxRangeSteps how many of these,
	// beside the bytes that are asked for, the ranges of a request may cost. Clients of zstd:chunked don't ask for fewer
	// ranges than that.
	rangeStep     = 1 << 20
	maxRangeSteps = 64
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

// askedBytes returns how many bytes the ranges of a request have together. False: it asks for all of the content, or for all
// from somewhere on, as who resumes does, or for what has to be compared with what the client has.
func askedBytes(r *http.Request) (int64, bool) {
	specs, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if !ok || rangeIgnored(r) || r.Header.Get("If-Range") != "" {
		return 0, false
	}
	n := int64(0)
	for spec := range strings.SplitSeq(specs, ",") {
		first, last, _ := strings.Cut(strings.TrimSpace(spec), "-")
		start, startErr := strconv.ParseUint(first, 10, 62)
		end, endErr := strconv.ParseUint(last, 10, 62)
		switch {
		case endErr != nil:
			return 0, false
		case first == "":
			n += int64(end)
		case startErr != nil || end < start:
			return 0, false
		default:
			n += int64(end-start) + 1
		}
		if n < 0 {
			return 0, false
		}
	}
	return n, true
}

// checkScattered refuses ranges that are few bytes in many places of content that is no file: a thousand bytes would have a
// thousand mebibytes fetched.
func checkScattered(r *http.Request, size int64) *Error {
	specs, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if !ok || rangeIgnored(r) {
		return nil
	}
	steps, asked := map[int64]struct{}{}, int64(0)
	for spec := range strings.SplitSeq(specs, ",") {
		start, end, ok := parseRange(strings.TrimSpace(spec), size)
		if !ok {
			continue // http.ServeContent has its say about it
		}
		steps[start/rangeStep], steps[end/rangeStep] = struct{}{}, struct{}{}
		asked += end - start + 1
	}
	if most := maxRangeSteps + asked/rangeStep; int64(len(steps)) > most {
		return &Error{
			Status: http.StatusBadRequest, Code: codeRangeInvalid,
			Message: fmt.Sprintf("ranges in %d places of the blob; the limit is %d for %d bytes", len(steps), most, asked),
		}
	}
	return nil
}

// parseRange returns the first and the last byte of a range of content, of which there is at least one.
func parseRange(spec string, size int64) (start, end int64, ok bool) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return 0, 0, false
	}
	start, startErr := strconv.ParseInt(first, 10, 64)
	end, endErr := strconv.ParseInt(last, 10, 64)
	switch {
	case first == "" && endErr == nil:
		start, end = max(size-end, 0), size-1
	case startErr != nil:
		return 0, 0, false
	case last == "":
		end = size - 1
	case endErr != nil:
		return 0, 0, false
	}
	end = min(end, size-1)
	return start, end, start >= 0 && start <= end
}
