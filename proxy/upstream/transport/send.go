package transport

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

// Request is a GET or HEAD to send to an upstream.
type Request struct {
	Method string
	URL    *url.URL
	Accept string
	Range  string // the header's value
	Blob   bool   // the answer's body is a whole blob: it counts as a download
}

// Response is an answer. Its body counts, and fails when it stalls.
type Response struct {
	*http.Response
	Redirected bool // it comes from another host
}

// Send makes one attempt at a request and follows redirects. What goes to the registry itself goes through home, which may add who we
// are; what its answers lead to goes there without. The response may have any status that is no redirect. Its body must be closed.
func (h *Host) Send(ctx context.Context, r Request, home http.RoundTripper) (*Response, error) {
	free := func() {}
	if r.Blob {
		var err error
		if free, err = acquire(ctx, h.limits.downloads); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := h.follow(ctx, r, home)
	if err != nil {
		free()
		cancel(nil)
		return nil, err
	}
	timer := time.AfterFunc(h.timeout, func() { cancel(upstream.ErrStalled) })
	timer.Stop()
	resp.Body = &body{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, timer: timer, free: free, host: h}
	if err := decode(resp.Response); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func (h *Host) follow(ctx context.Context, r Request, home http.RoundTripper) (*Response, error) {
	at := r.URL
	for range maxRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, r.Method, at.String(), nil)
		if err != nil {
			return nil, fmt.Errorf("%w: the request cannot be made", upstream.ErrRefused)
		}
		setHeader(req.Header, "Accept", r.Accept)
		setHeader(req.Header, "Range", r.Range)
		req.Header.Set("Accept-Encoding", "identity")
		via, atHome := http.RoundTripper(h), SameOrigin(at, h.base)
		if atHome {
			via = home
		}
		resp, err := via.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if !IsRedirect(resp) {
			return &Response{Response: resp, Redirected: !atHome}, nil
		}
		Discard(resp.Body)
		if at, err = RedirectTarget(at, resp.Header.Get("Location")); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: more than %d redirects", upstream.ErrRefused, maxRedirects)
}

func setHeader(h http.Header, key, value string) {
	if value != "" {
		h.Set(key, value)
	}
}
