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
	// persistent says that a request may try at any time whether the server is back, one after the other.
	persistent bool

	mu    sync.Mutex
	until time.Time // the server wants to be left alone until then
	trial *trial    // the latest
}

// trial is a request that tries whether a server is back.
type trial struct {
	done   chan struct{} // closed when it is known
	failed bool
}

// newCircuit returns a closed circuit: it lets through. changed is told when the breaker's state changes; of a persistent
// one, only when the server fails and when it is back.
func newCircuit(server string, persistent bool, now func() time.Time, changed func(server, state string)) *circuit {
	c := &circuit{now: now, persistent: persistent}
	open := openFor
	if persistent {
		open = time.Nanosecond // it is half-open at once
	}
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name: server, MaxRequests: 1, Timeout: open,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= tripAfter },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNoMatter) },
		OnStateChange: func(server string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				c.opened.Store(time.Now().UnixNano())
			}
			if !persistent || from == gobreaker.StateClosed || to == gobreaker.StateClosed {
				changed(server, to.String())
			}
		},
	})
	return c
}

// check returns why nobody is let through now, or nil. While another tries whether the server is back, it waits for that.
func (c *circuit) check(ctx context.Context) error {
	if err := c.await(ctx); err != nil {
		return err
	}
	if wait := c.pause(); wait > 0 {
		return &upstream.Error{
			Kind: upstream.RateLimited, RetryAfter: wait, Err: fmt.Errorf("%w: it wants to be left alone", upstream.ErrHeld),
		}
	}
	if c.breaker.State() == gobreaker.StateOpen && !c.persistent {
		return c.broken()
	}
	return nil
}

// await waits until nobody tries whether the server is back, and returns why that was in vain. Of a server whose circuit is
// not persistent nobody waits for that.
func (c *circuit) await(ctx context.Context) error {
	c.mu.Lock()
	t := c.trial
	c.mu.Unlock()
	if t == nil {
		return nil
	}
	select {
	case <-t.done:
		return nil // before this one came
	default:
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if t.failed {
		return c.broken()
	}
	return nil
}

// givenUp reports whether a persistent circuit's server has failed so often that whoever was let through was the trial.
func (c *circuit) givenUp() bool { return c.persistent && c.breaker.State() != gobreaker.StateClosed }

// state is the breaker's, for people and metrics: "half-open" is a state to pass through, and where nobody asks it would
// stay for ever.
func (c *circuit) state() string {
	state := c.breaker.State()
	if c.persistent && state == gobreaker.StateHalfOpen {
		return gobreaker.StateOpen.String() // it fails, as far as anybody knows
	}
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
	if c.persistent {
		left = 0
	}
	return &upstream.Error{
		Kind: upstream.Unavailable, RetryAfter: max(left, time.Second),
		Err: fmt.Errorf("%w: it failed %d times in a row", upstream.ErrHeld, tripAfter),
	}
}

// enter asks to be let through. Whoever is calls done with what became of it.
func (c *circuit) enter(ctx context.Context) (done func(context.Context, *http.Response, error), err error) {
	for {
		if err := c.check(ctx); err != nil {
			return nil, err
		}
		verdict, t, err := c.allow()
		switch {
		case err == nil:
			return func(ctx context.Context, resp *http.Response, err error) {
				out := outcome(ctx, resp, err)
				verdict(out)
				if t != nil {
					t.failed = errors.Is(out, errOutage)
					close(t.done)
				}
				if resp != nil && resp.StatusCode == http.StatusTooManyRequests {
					c.leaveAlone(header.RetryAfter(resp.Header.Get("Retry-After"), c.now()))
				}
			}, nil
		case t == nil: // else another was quicker, and is waited for
			return nil, c.broken()
		}
	}
}

// allow asks the breaker. With leave there may be a trial for whoever got it to end; without, one to wait for.
func (c *circuit) allow() (verdict func(error), t *trial, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	verdict, err = c.breaker.Allow()
	if !c.persistent {
		return verdict, nil, err
	}
	if err == nil && c.breaker.State() != gobreaker.StateClosed {
		c.trial = &trial{done: make(chan struct{})}
		return verdict, c.trial, nil
	}
	if errors.Is(err, gobreaker.ErrTooManyRequests) {
		t = c.trial
	}
	return verdict, t, err
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
