package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
)

const (
	// tripAfter is how many attempts in a row a server must leave without a usable answer before it is left alone.
	tripAfter = 5
	// openFor is how long it is left alone until one request tries whether it is back.
	openFor = 10 * time.Second
	// maxPause bounds how long a server's wish to be left alone is heeded.
	maxPause = 10 * time.Minute
	// forgiveAfter is how long a server counts as failed that nobody has asked since it might be back.
	forgiveAfter = 5 * time.Minute
	// maxCircuits bounds how many servers that answers lead to are remembered for each upstream.
	maxCircuits = 32
)

// What the breaker is told of an exchange that was no success.
var (
	errOutage   = errors.New("no usable answer")
	errNoMatter = errors.New("says nothing about the server")
)

// circuit stands before one server, the registry or one that it leads to, and holds requests back that would not help:
// while its breaker is open and while it has asked to be left alone. It is safe for concurrent use.
type circuit struct {
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	opened  atomic.Int64 // when the breaker opened, in nanoseconds of the system's clock
	now     func() time.Time

	mu    sync.Mutex
	until time.Time // the server wants to be left alone until then
}

// newCircuit returns a closed circuit: it lets through. changed is told when the breaker's state changes.
func newCircuit(server string, now func() time.Time, changed func(server, state string)) *circuit {
	c := &circuit{now: now}
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name: server, MaxRequests: 1, Timeout: openFor,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= tripAfter },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNoMatter) },
		OnStateChange: func(server string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				c.opened.Store(time.Now().UnixNano())
			}
			changed(server, to.String())
		},
	})
	return c
}

// check returns why nobody is let through now, or nil.
func (c *circuit) check() error {
	if wait := c.pause(); wait > 0 {
		return &upstream.Error{
			Kind: upstream.RateLimited, RetryAfter: wait, Err: fmt.Errorf("%w: it wants to be left alone", upstream.ErrHeld),
		}
	}
	if c.breaker.State() == gobreaker.StateOpen {
		return c.broken()
	}
	return nil
}

// state is the breaker's, for people and metrics: "half-open" is a state to pass through, and where nobody asks it would
// stay for ever.
func (c *circuit) state() string {
	state := c.breaker.State()
	since := time.Duration(time.Now().UnixNano() - c.opened.Load())
	if state == gobreaker.StateHalfOpen && since > openFor+forgiveAfter {
		return gobreaker.StateClosed.String()
	}
	return state.String()
}

// failing is how many requests in a row had no usable answer.
func (c *circuit) failing() int { return int(c.breaker.Counts().ConsecutiveFailures) }

func (c *circuit) broken() error {
	left := openFor - time.Duration(time.Now().UnixNano()-c.opened.Load())
	return &upstream.Error{
		Kind: upstream.Unavailable, RetryAfter: max(left, time.Second),
		Err: fmt.Errorf("%w: it failed %d times in a row", upstream.ErrHeld, tripAfter),
	}
}

// enter asks to be let through. Whoever is calls done with what became of it.
func (c *circuit) enter() (done func(context.Context, *http.Response, error), err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	verdict, err := c.breaker.Allow()
	if err != nil {
		return nil, c.broken()
	}
	return func(ctx context.Context, resp *http.Response, err error) {
		verdict(outcome(ctx, resp, err))
		if resp != nil && resp.StatusCode == http.StatusTooManyRequests {
			c.leaveAlone(header.RetryAfter(resp.Header.Get("Retry-After"), c.now()))
		}
	}, nil
}

// pause returns how long the server still wants to be left alone.
func (c *circuit) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.until.Sub(c.now()), 0)
}

func (c *circuit) leaveAlone(wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := c.now().Add(min(wait, maxPause)); wait > 0 && until.After(c.until) {
		c.until = until
	}
}

// outcome sorts the end of an exchange: nil for a server that answers, errOutage for one that is down or too slow,
// errNoMatter where the end was somebody else's doing.
func outcome(ctx context.Context, resp *http.Response, err error) error {
	switch {
	case err == nil && outage(resp.StatusCode):
		return errOutage
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return errNoMatter
	}
	switch upstream.Classify(err) {
	case upstream.Unavailable, upstream.Timeout:
		return errOutage
	}
	return errNoMatter
}

// outage reports whether a status says that the server behind it is out of reach. A 500 is an answer, if a poor one: it
// may be about one repository.
func outage(status int) bool {
	switch {
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return true
	}
	return status >= 520 && status <= 530 // Cloudflare's, for origins that it cannot reach
}
