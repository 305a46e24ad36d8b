package transport

import (
	"context"
	"fmt"
	"io"
	"maps"
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
	// Header has further fields.
	Header http.Header
	// Patience is how long the body of the answer to a Blob may be silent or trickle; 0 stands for the host's timeout.
	Patience time.Duration
	// Blob says that the answer's body is a whole blob: it counts as a download.
	Blob bool
}

// Response is an answer. Its bytes are passed on as they came, whatever Content-Encoding says: digests are of those. The
// body fails, with an error that wraps upstream.ErrStalled, when it falls silent or comes too slowly.
type Response struct {
	*http.Response
	Redirected bool // it comes from another host
}

// Send makes one attempt at a request and follows redirects. What goes to the registry itself goes through home, which
// may add who we are; what its answers lead to goes there without. The response may have any status that is no redirect.
// Its body must be closed.
func (h *Host) Send(ctx context.Context, r Request, home http.RoundTripper) (*Response, error) {
	free := func() {}
	if r.Blob {
		var err error
		if free, err = acquire(ctx, h.limits.downloads); err != nil {
			return nil, err
		}
		ctx = context.WithValue(ctx, classKey{},
			class{unknown: classOfRequest(ctx).unknown, blob: true, patience: r.Patience})
	}
	resp, err := h.follow(ctx, r, home)
	if err != nil {
		free()
		return nil, err
	}
	if r.Blob {
		resp.Body = &download{resp.Body, free}
	}
	return resp, nil
}

// class is what limits look at. It is in the context so that it gets through whoever adds who we are.
type class struct {
	unknown bool // nobody here knows whether there is what is asked for
	blob    bool // it holds a place among the downloads
	// patience is that of Request.
	patience time.Duration
}

type classKey struct{}

func classOfRequest(ctx context.Context) class {
	c, _ := ctx.Value(classKey{}).(class)
	return c
}

// Unknown returns a context for requests about things of which nobody here knows whether they exist. Such requests leave
// room for others: in the line for a rate, among the connections, in what the upstream grants.
func Unknown(ctx context.Context) context.Context {
	return context.WithValue(ctx, classKey{}, class{unknown: true})
}

// download is the body of a blob. Closing it lets another blob be fetched.
type download struct {
	io.ReadCloser
	free func()
}

// Close implements io.Closer.
func (d *download) Close() error {
	defer d.free()
	return d.ReadCloser.Close()
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
		maps.Copy(req.Header, r.Header)
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
		Discard(resp)
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
