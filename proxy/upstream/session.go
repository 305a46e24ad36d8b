package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/strata-oci/strata/proxy/name"
)

// session is the use of one repository of one upstream: what it takes to be let in, learnt from the first refusal and kept.
type session struct {
	client *Client
	host   *host
	repo   name.Repository // host as callers name it, path as the upstream knows it

	mu        sync.Mutex
	challenge challenge
	grant     grant
	renewal   shared[grant]
}

// roundTrip sends a request to the configured host with authorization, and once more with a new one when the first was refused.
func (s *session) roundTrip(req *http.Request) (*http.Response, error) {
	used, err := s.authorization(req.Context())
	if err != nil {
		return nil, err
	}
	resp, err := s.trip(s.host.home, req, used)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	ch, ok := pickChallenge(resp.Header)
	if !ok {
		return resp, nil
	}
	if err := keepBody(resp); err != nil {
		return nil, err
	}
	fresh, err := s.renew(req.Context(), ch, used)
	if err != nil {
		return nil, err
	}
	if fresh == "" || fresh == used {
		return resp, nil
	}
	return s.trip(s.host.home, req, fresh)
}

// authorization returns the header to begin with: none before the first challenge, a fresh one when the last is about to expire.
func (s *session) authorization(ctx context.Context) (string, error) {
	s.mu.Lock()
	current, ch := s.grant, s.challenge
	s.mu.Unlock()
	if current.header == "" || current.usable(s.client.now()) {
		return current.header, nil
	}
	return s.renew(ctx, ch, current.header)
}

// renew returns a header other than stale, if there is one. Callers at the same time share one exchange.
func (s *session) renew(ctx context.Context, ch challenge, stale string) (string, error) {
	for {
		g, led, err := s.renewal.do(ctx, func(ctx context.Context) (grant, error) {
			s.mu.Lock()
			current := s.grant
			s.mu.Unlock()
			if current.header != stale && current.usable(s.client.now()) {
				return current, nil
			}
			fresh, err := s.authorize(ctx, ch)
			if err == nil {
				s.mu.Lock()
				s.challenge, s.grant = ch, fresh
				s.mu.Unlock()
			}
			return fresh, err
		})
		// One who joined an exchange that was begun to replace an older header may have got the one that is stale already.
		if err != nil || led || g.header != stale {
			return g.header, err
		}
	}
}

// trip sends a copy of a request with an Authorization header, if there is one.
func (s *session) trip(via http.RoundTripper, req *http.Request, authorization string) (*http.Response, error) {
	req = req.Clone(req.Context())
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := s.host.exchange(via, req)
	status := 0
	if err == nil {
		status = resp.StatusCode
		resp.Request = req
	}
	if !errors.Is(err, ErrHeld) {
		s.client.observer.Request(s.repo.Host(), req.Method, status)
	}
	return resp, err
}

// keepBody replaces a small body by a copy of it, so that its connection is free for the next request.
func keepBody(resp *http.Response) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorDocument))
	if err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}
