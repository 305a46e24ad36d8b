package upstream

import (
	"context"
	"errors"
	"net/http"
	"sync"
)

// exchange sends a request when nothing holds it back: the server's gate, the rate, the number of requests at once. What it takes of
// these is given back when the body of the answer is closed.
func (h *host) exchange(via http.RoundTripper, req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if err := h.mayFollow(req.URL); err != nil {
		return nil, err
	}
	g := h.gateTo(req.URL)
	done, release, err := h.admit(ctx, g)
	if err != nil {
		if errors.Is(err, ErrHeld) {
			h.held.Add(1)
		}
		return nil, err
	}
	resp, err := via.RoundTrip(req)
	done(ctx, resp, err)
	if err != nil {
		release()
		return nil, err
	}
	if g == h.gate {
		h.budget.note(resp.Header, h.limits.client.now())
	}
	resp.Body = releasing{resp.Body, release}
	return resp, nil
}

// admit waits for a request's turn. The gate is looked at first, so that nobody queues for a server that is down, and again when the
// turn has come.
func (h *host) admit(ctx context.Context, g *gate) (done func(context.Context, *http.Response, error), release func(), err error) {
	if err := g.check(); err != nil {
		return nil, nil, err
	}
	if err := h.limits.turn(ctx); err != nil {
		return nil, nil, err
	}
	free, err := acquire(ctx, h.limits.running)
	if err != nil {
		return nil, nil, err
	}
	if done, err = g.enter(); err != nil {
		free()
		return nil, nil, err
	}
	h.running.Add(1)
	return done, sync.OnceFunc(func() {
		h.running.Add(-1)
		free()
	}), nil
}
