package header

import (
	"strconv"
	"strings"
	"time"
)

// RateLimit reads the value of a RateLimit-Limit or RateLimit-Remaining header, "100;w=21600": a number of requests and
// the window that it is for, zero where there is none.
func RateLimit(s string) (n int64, window time.Duration, ok bool) {
	number, rest, _ := strings.Cut(s, ";")
	number, _, _ = strings.Cut(number, ",")
	n, ok = parseSize(strings.TrimSpace(number))
	for _, parameter := range strings.Split(rest, ";") {
		if text, found := strings.CutPrefix(strings.TrimSpace(parameter), "w="); found {
			if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
				window = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(n, maxBudget), window, ok
}

// maxBudget keeps sums and products of budgets from overflowing.
const maxBudget = 1 << 50
