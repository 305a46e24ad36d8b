package transport

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
)

const (
	// reserve is the part of a budget, one in so many, that is kept for what is not stored.
	reserve = 10
	// A budget that is nearly used up is looked at again after a part of its window, within these bounds.
	shortLook, longLook = time.Minute, 15 * time.Minute
	lookParts           = 20
	// missShare is the part of a budget, one in so many, that questions about what there isn't may use up in a window.
	missShare = 4
	// someWindow is a window whose length the upstream does not tell.
	someWindow = time.Hour
)

// budget follows an upstream's budget. The zero value knows of none. It is safe for concurrent use.
type budget struct {
	mu               sync.Mutex
	limit, remaining int64
	known            bool
	window           time.Duration
	at               time.Time // of the last answer that told it

	misses      int64     // questions that were asked in vain
	missesSince time.Time // the beginning of the window that they are counted in
}

// note reads the headers of an answer: Docker Hub's "100;w=21600", or plain numbers.
func (b *budget) note(h http.Header, now time.Time) {
	limit, window, ok := header.RateLimit(h.Get("RateLimit-Limit"))
	remaining, _, ok2 := header.RateLimit(h.Get("RateLimit-Remaining"))
	if !ok || !ok2 || limit <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit, b.remaining, b.window, b.at, b.known = limit, remaining, window, now, true
}

// wait returns how long refreshes are to be left out: zero while there is enough. Then one is let through, to see what it
// says.
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

// miss notes that a question was asked in vain.
func (b *budget) miss(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turnWindow(now)
	b.misses++
}

// turnWindow begins a new window for misses when the last one is over.
func (b *budget) turnWindow(now time.Time) {
	window := b.window
	if window <= 0 {
		window = someWindow
	}
	if since := now.Sub(b.missesSince); since < 0 || since >= window {
		b.misses, b.missesSince = 0, now
	}
}

// allowUnknown returns an error that wraps upstream.ErrHeld while questions that were asked in vain have used up their
// share: the rest is for what is known, and for what there is.
func (b *budget) allowUnknown(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known {
		return nil
	}
	b.turnWindow(now)
	if b.misses < max(b.limit/missShare, 1) {
		return nil
	}
	look := min(max(b.window/lookParts, shortLook), longLook)
	return &upstream.Error{
		Kind: upstream.RateLimited, RetryAfter: look,
		Err: fmt.Errorf("%w: questions about what there isn't have used up their share of its budget", upstream.ErrHeld),
	}
}

func (b *budget) report(now time.Time) upstream.Budget {
	low := b.wait(now) > 0
	b.mu.Lock()
	defer b.mu.Unlock()
	return upstream.Budget{Limit: b.limit, Remaining: b.remaining, Known: b.known, Low: low}
}
