package auth

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
)

// Host sends the requests of a Session. RoundTrip asks the registry, Exchange the token service that it names. MayCarrySecrets refuses
// addresses that are no place for credentials. Timeout is how long an answer may take.
type Host interface {
	http.RoundTripper
	Exchange(*http.Request) (*http.Response, error)
	MayCarrySecrets(*url.URL) error
	Timeout() time.Duration
}

// Session is the use of one repository of one upstream: what it takes to be let in, learnt from the first refusal and kept. It is safe
// for concurrent use.
type Session struct {
	host  Host
	creds Credentials
	repo  name.Repository
	now   func() time.Time

	mu        sync.Mutex
	challenge header.Challenge
	grant     grant
	renewal   shared[grant]
}

// NewSession returns a session that knows nothing yet. now is the clock that grants expire by. log is told when an
// exchange panics.
func NewSession(host Host, creds Credentials, repo name.Repository, now func() time.Time, log *slog.Logger) *Session {
	s := &Session{host: host, creds: creds, repo: repo, now: now}
	s.renewal.panicked = func(value any, stack []byte) {
		log.Error("a token exchange panicked", "repository", repo.String(), "panic", value, "stack", string(stack))
	}
	return s
}

// RoundTrip implements http.RoundTripper: it sends a request to the registry with authorization, and once more with a new one when the
// first was refused.
func (s *Session) RoundTrip(req *http.Request) (*http.Response, error) {
	used, err := s.authorization(req.Context())
	if err != nil {
		return nil, err
	}
	resp, err := s.trip(req, used)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	ch, ok := header.PickChallenge(resp.Header)
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
	return s.trip(req, fresh)
}

// authorization returns the header to begin with: none before the first challenge, a fresh one when the last is about to expire.
func (s *Session) authorization(ctx context.Context) (string, error) {
	s.mu.Lock()
	current, ch := s.grant, s.challenge
	s.mu.Unlock()
	if current.header == "" || current.usable(s.now()) {
		return current.header, nil
	}
	return s.renew(ctx, ch, current.header)
}

// renew returns a header other than stale, if there is one. Callers at the same time share one exchange.
func (s *Session) renew(ctx context.Context, ch header.Challenge, stale string) (string, error) {
	for {
		g, led, err := s.renewal.do(ctx, func(ctx context.Context) (grant, error) {
			s.mu.Lock()
			current := s.grant
			s.mu.Unlock()
			if current.header != stale && current.usable(s.now()) {
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
func (s *Session) trip(req *http.Request, authorization string) (*http.Response, error) {
	req = req.Clone(req.Context())
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return s.host.RoundTrip(req)
}

// keepBody replaces a small body by a copy of it, so that its connection is free for the next request.
func keepBody(resp *http.Response) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, upstream.MaxErrorDocument))
	if err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}
