package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// tripAfter is how many attempts in a row a server must leave without a usable answer before it is left alone.
	tripAfter = 5
	// openFor is how long it is left alone until one request tries whether it is back.
	openFor = 10 * time.Second
	// maxPause bounds how long a server's wish to be left alone is heeded.
	maxPause = 10 * time.Minute
	// maxGates bounds how many servers that answers lead to are remembered for each upstream.
	maxGates = 32
)

// ErrHeld says that a request was not sent: the server failed too often, asked to be left alone, or a limit is used up.
var ErrHeld = errors.New("not asked")

// What the breaker is told of an exchange that was no success.
var (
	errOutage   = errors.New("no usable answer")
	errNoMatter = errors.New("says nothing about the server")
)

// gate stands before one server, the registry or one that it leads to, and holds requests back that would not help: while its
// breaker is open and while it has asked to be left alone. It is safe for concurrent use.
type gate struct {
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	opened  atomic.Int64 // when the breaker opened, in nanoseconds of the system's clock
	now     func() time.Time

	mu    sync.Mutex
	until time.Time // the server wants to be left alone until then
}

// newGate returns an open way. changed is told when the breaker's state changes.
func newGate(server string, now func() time.Time, changed func(server, state string)) *gate {
	g := &gate{now: now}
	g.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name: server, MaxRequests: 1, Timeout: openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNoMatter) },
		OnStateChange: func(server string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				g.opened.Store(time.Now().UnixNano())
			}
			changed(server, to.String())
		},
	})
	return g
}

// check returns why nobody is let through now, or nil.
func (g *gate) check() error {
	if wait := g.pause(); wait > 0 {
		return &Error{Kind: RateLimited, RetryAfter: wait, Err: fmt.Errorf("%w: it wants to be left alone", ErrHeld)}
	}
	if g.breaker.State() == gobreaker.StateOpen {
		return g.broken()
	}
	return nil
}

func (g *gate) broken() error {
	left := openFor - time.Duration(time.Now().UnixNano()-g.opened.Load())
	return &Error{Kind: Unavailable, RetryAfter: max(left, time.Second), Err: fmt.Errorf("%w: it failed %d times in a row", ErrHeld, tripAfter)}
}

// enter asks to be let through. Whoever is calls done with what became of it.
func (g *gate) enter() (done func(context.Context, *http.Response, error), err error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	verdict, err := g.breaker.Allow()
	if err != nil {
		return nil, g.broken()
	}
	return func(ctx context.Context, resp *http.Response, err error) {
		verdict(outcome(ctx, resp, err))
		if resp != nil && resp.StatusCode == http.StatusTooManyRequests {
			g.leaveAlone(parseRetryAfter(resp.Header.Get("Retry-After"), g.now()))
		}
	}, nil
}

// pause returns how long the server still wants to be left alone.
func (g *gate) pause() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(g.until.Sub(g.now()), 0)
}

func (g *gate) leaveAlone(wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := g.now().Add(min(wait, maxPause)); wait > 0 && until.After(g.until) {
		g.until = until
	}
}

// outcome sorts the end of an exchange: nil for a server that answers, errOutage for one that is down or too slow, errNoMatter where
// the end was somebody else's doing.
func outcome(ctx context.Context, resp *http.Response, err error) error {
	switch {
	case err == nil && outage(resp.StatusCode):
		return errOutage
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return errNoMatter
	}
	switch classify(err) {
	case Unavailable, Timeout:
		return errOutage
	}
	return errNoMatter
}

// outage reports whether a status says that the server behind it is out of reach. A 500 is an answer, if a poor one: it may be about
// one repository.
func outage(status int) bool {
	switch {
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return true
	}
	return status >= 520 && status <= 530 // Cloudflare's, for origins that it cannot reach
}
