package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	maxRedirects = 5
	maxLocation  = 16 << 10
)

// errStalled ends the reading of a body that does not go on.
var errStalled = errors.New("upstream stopped sending")

// request is a GET or HEAD to send to an upstream.
type request struct {
	method string
	url    *url.URL
	accept string
	rng    string // the Range header
	blob   bool   // its body is a blob
}

// url returns the address of a part of the repository: "manifests/latest", "blobs/sha256:…".
func (s *session) url(part string) *url.URL {
	u := *s.host.base
	u.Path = "/v2/" + s.repo.Path() + "/" + part
	return &u
}

// response is an answer. Its body counts, and fails when it stalls.
type response struct {
	*http.Response
	redirected bool // it comes from another host
}

// send makes one attempt at a request and follows redirects. The response may have any status that is no redirect. Its body must
// be closed.
func (s *session) send(ctx context.Context, r request) (*response, error) {
	free := func() {}
	if r.blob {
		var err error
		if free, err = acquire(ctx, s.host.limits.downloads); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := s.follow(ctx, r)
	if err != nil {
		free()
		cancel(nil)
		return nil, err
	}
	timer := time.AfterFunc(s.host.timeout, func() { cancel(errStalled) })
	timer.Stop()
	resp.Body = &body{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, timer: timer, free: free, session: s}
	if err := decode(resp.Response); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func (s *session) follow(ctx context.Context, r request) (*response, error) {
	at := r.url
	for range maxRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, r.method, at.String(), nil)
		if err != nil {
			return nil, fmt.Errorf("%w: the request cannot be made", ErrRefused)
		}
		setHeader(req.Header, "User-Agent", s.client.userAgent)
		setHeader(req.Header, "Accept", r.accept)
		setHeader(req.Header, "Range", r.rng)
		req.Header.Set("Accept-Encoding", "identity")
		atHome := sameOrigin(at, s.host.base)
		var resp *http.Response
		if atHome {
			resp, err = s.roundTrip(req)
		} else {
			resp, err = s.trip(s.host.foreign, req, "")
		}
		if err != nil {
			return nil, err
		}
		if !isRedirect(resp) {
			return &response{Response: resp, redirected: !atHome}, nil
		}
		discard(resp.Body)
		if at, err = redirectTarget(at, resp.Header.Get("Location")); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: more than %d redirects", ErrRefused, maxRedirects)
}

func setHeader(h http.Header, key, value string) {
	if value != "" {
		h.Set(key, value)
	}
}

func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	default:
		return false
	}
}

// redirectTarget returns where a Location header leads from a URL. Errors do not repeat the header: it may be a signed URL.
func redirectTarget(from *url.URL, location string) (*url.URL, error) {
	if location == "" || len(location) > maxLocation {
		return nil, fmt.Errorf("%w: redirect from %s without a usable location", ErrRefused, from.Host)
	}
	ref, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("%w: redirect from %s to something that is no URL", ErrRefused, from.Host)
	}
	to := from.ResolveReference(ref)
	switch {
	case to.Hostname() == "" || to.User != nil:
		return nil, fmt.Errorf("%w: redirect from %s to a URL without a plain host", ErrRefused, from.Host)
	case to.Scheme != "https" && (to.Scheme != "http" || from.Scheme != "http"):
		return nil, fmt.Errorf("%w: redirect from %s://%s to %s://%s", ErrRefused, from.Scheme, from.Host, clean(to.Scheme), to.Host)
	}
	to.Fragment, to.RawFragment = "", ""
	return to, nil
}

// discard reads the rest of a small body, so that its connection can be used again, and closes it.
func discard(b io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(b, 16<<10)) // a failure only costs the connection
	_ = b.Close()
}

// body is a response body that counts bytes and gives up when none come for the host's timeout.
type body struct {
	io.ReadCloser
	ctx     context.Context //nolint:containedctx // the request's own, which the body lives in
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	free    func() // lets another blob be downloaded
	session *session
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.session.host.timeout)
	n, err := b.ReadCloser.Read(b.session.host.limits.chunk(p))
	b.timer.Stop()
	if n > 0 {
		b.session.client.observer.Bytes(b.session.repo.Host(), n)
	}
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	if waitErr := b.session.host.limits.take(b.ctx, n); err == nil {
		err = waitErr
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	defer b.free()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
