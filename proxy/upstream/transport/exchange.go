package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/proxy/upstream"
)

// RoundTrip makes one exchange with the registry or where it led, and tells the observer. It follows no redirect.
func (h *Host) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.Exchange(req)
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	if !errors.Is(err, upstream.ErrHeld) {
		h.options.Observer.Request(h.name, req.Method, status)
	}
	return resp, err
}

// Exchange is RoundTrip for requests that are no questions to the registry: those to its token service. A request is sent
// when nothing holds it back: the server's circuit, the rate, the number of requests at once. What it takes of these is
// given back when the body of the answer is closed.
func (h *Host) Exchange(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if err := h.mayFollow(req.URL); err != nil {
		return nil, err
	}
	c := h.circuitTo(req.URL)
	turn, err := h.admit(ctx, c)
	if err != nil {
		if errors.Is(err, upstream.ErrHeld) {
			h.held.Add(1)
		}
		return nil, err
	}
	running, cancel := context.WithCancelCause(ctx)
	running, ended := tracing.Start(running, "upstream "+req.Method, "upstream", h.name, "server.address", req.URL.Host)
	req = req.Clone(running)
	req.Header.Set("User-Agent", h.options.UserAgent)
	setHeader(req.Header, "Via", h.options.Via(ctx))
	if h.traced && c == h.circuit { // nobody else learns of it
		tracing.Tell(running, req.Header)
	}
	resp, err := h.tripper(req.URL).RoundTrip(req)
	turn.answered(ctx, resp, err)
	if err != nil {
		cancel(nil)
		turn.release()
		ended(err)
		return nil, err
	}
	tracing.Note(running, "http.response.status_code", resp.StatusCode)
	if c == h.circuit {
		h.budget.note(resp.Header, h.options.Now())
	}
	resp.Body = newBody(running, cancel, resp, h, sync.OnceFunc(func() {
		turn.release()
		ended(nil)
	}))
	return resp, nil
}

// turn is the leave to send a request. answered is called with what became of it, release at the end of the answer's body
// or when there is none.
type turn struct {
	answered func(context.Context, *http.Response, error)
	release  func()
}

// admit waits for a request's turn. The circuit is looked at first, so that nobody queues for a server that is down, and
// again when the turn has come.
func (h *Host) admit(ctx context.Context, c *circuit) (turn, error) {
	if err := c.check(ctx); err != nil {
		return turn{}, err
	}
	of := classOfRequest(ctx)
	if of.unknown {
		if err := h.budget.allowUnknown(h.options.Now()); err != nil {
			return turn{}, err
		}
	}
	if err := h.limits.turn(ctx, of.unknown); err != nil {
		return turn{}, err
	}
	answered, free, err := h.limits.enter(ctx, of.unknown && !of.blob)
	if err != nil {
		return turn{}, err
	}
	verdict, err := c.enter(ctx)
	if err != nil {
		answered()
		free()
		return turn{}, err
	}
	h.running.Add(1)
	return turn{
		answered: func(ctx context.Context, resp *http.Response, err error) {
			answered()
			verdict(ctx, resp, err)
		},
		release: sync.OnceFunc(func() {
			h.running.Add(-1)
			free()
		}),
	}, nil
}

// Refresh asks for leave to look whether something known is still right. While what the upstream still grants is needed
// for what nobody has, the error wraps upstream.ErrHeld.
func (h *Host) Refresh() error {
	now := h.options.Now()
	if wait := h.budget.wait(now); wait > 0 {
		h.held.Add(1)
		return &upstream.Error{
			Kind: upstream.RateLimited, RetryAfter: wait,
			Err: fmt.Errorf("%w: its budget is nearly used up", upstream.ErrHeld),
		}
	}
	h.budget.ask(now)
	return nil
}

// Missed notes that a question about what nobody knew was asked in vain.
func (h *Host) Missed() { h.budget.miss(h.options.Now()) }
