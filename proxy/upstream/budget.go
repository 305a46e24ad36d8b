package upstream

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Budget is what an upstream says it still grants, in its RateLimit-Limit and RateLimit-Remaining headers.
type Budget struct {
	// Limit is the number of requests in a window, Remaining how many are left. Known says that the upstream tells them.
	Limit, Remaining int64
	Known            bool
	// Low says that what remains is kept for content that is not stored.
	Low bool
}

const (
	// reserve is the part of a budget, one in so many, that is kept for what is not stored.
	reserve = 10
	// A budget that is nearly used up is looked at again after a part of its window, within these bounds.
	shortLook, longLook = time.Minute, 15 * time.Minute
	lookParts           = 20
)

// budget follows an upstream's budget. The zero value knows of none. It is safe for concurrent use.
type budget struct {
	mu               sync.Mutex
	limit, remaining int64
	known            bool
	window           time.Duration
	at               time.Time // of the last answer that told it
}

// note reads the headers of an answer: Docker Hub's "100;w=21600", or plain numbers.
func (b *budget) note(h http.Header, now time.Time) {
	limit, window, ok := parseBudget(h.Get("RateLimit-Limit"))
	remaining, _, ok2 := parseBudget(h.Get("RateLimit-Remaining"))
	if !ok || !ok2 || limit <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit, b.remaining, b.window, b.at, b.known = limit, remaining, window, now, true
}

// wait returns how long refreshes are to be left out: zero while there is enough. Then one is let through, to see what it says.
func (b *budget) wait(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known || b.remaining*reserve > b.limit {
		return 0
	}
	look := min(max(b.window/lookParts, shortLook), longLook)
	left := b.at.Add(look).Sub(now)
	if left > look { // a clock that was set back
		left = look
	}
	return max(left, 0)
}

// ask notes that a refresh is on its way, so that others wait for what it brings.
func (b *budget) ask(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known && b.remaining*reserve <= b.limit {
		b.at = now
	}
}

func (b *budget) report(now time.Time) Budget {
	low := b.wait(now) > 0
	b.mu.Lock()
	defer b.mu.Unlock()
	return Budget{Limit: b.limit, Remaining: b.remaining, Known: b.known, Low: low}
}

// parseBudget reads a number of requests and the window that it is for, zero where there is none.
func parseBudget(s string) (n int64, window time.Duration, ok bool) {
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
