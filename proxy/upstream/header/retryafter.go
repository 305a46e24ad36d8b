package header

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxRetryAfter is the longest time that RetryAfter returns; a later date is taken for it.
	MaxRetryAfter = 365 * 24 * time.Hour
	// epochs: seconds since 1970 have been more than this since 2001.
	epochs = 1_000_000_000
)

// RetryAfter reads a Retry-After header, which holds seconds or an HTTP date (RFC 9110, section 10.2.3). The result is 0
// when there is nothing to wait for.
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		if seconds > epochs && seconds < 10*epochs { // a point in time, as Docker Hub writes it
			return min(max(time.Unix(int64(seconds), 0).Sub(now), 0), MaxRetryAfter)
		}
		if seconds > uint64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	if isDigits(value) {
		return MaxRetryAfter
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
