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

// Host sends the requests of a Session. RoundTrip asks the registry, Exchange the token service that it names.
// MayCarrySecrets returns the address to use for one that the registry named, or refuses it as no place for credentials.
// Timeout is how long an answer may take.
type Host interface {
	http.RoundTripper
	Exchange(*http.Request) (*http.Response, error)
	MayCarrySecrets(*url.URL) (*url.URL, error)
	Timeout() time.Duration
}

// Session is the use of one repository of one upstream: what it takes to be let in, learnt from the first refusal and
// kept. It is safe for concurrent use.
type Session struct {
	host  Host
	creds Credentials
	repo  name.Repository
	path  string // what the upstream calls it
	now   func() time.Time

	mu        sync.Mutex
	challenge header.Challenge
	grant     grant
	renewal   shared[grant]
}

// NewSession returns a session that knows nothing yet. path is what the upstream calls the repository, now the clock that
// grants expire by. log is told when an exchange panics.
func NewSession(host Host, creds Credentials, repo name.Repository, path string, now func() time.Time,
	log *slog.Logger) *Session {
	s := &Session{host: host, creds: creds, repo: repo, path: path, now: now}
	s.renewal.panicked = func(value any, stack []byte) {
		log.Error("a token exchange panicked", "repository", repo.String(), "panic", value, "stack", string(stack))
	}
	return s
}

// RoundTrip implements http.RoundTripper: it sends a request to the registry with authorization, and once more with a new
// one when the first was refused. Registries refuse a token that has expired with 400, 401 or 403; one that was good
// before is dropped then.
func (s *Session) RoundTrip(req *http.Request) (*http.Response, error) {
	used, err := s.authorization(req.Context())
	if err != nil {
		return nil, err
	}
	resp, err := s.trip(req, used)
	if err != nil {
		return nil, err
	}
	ch, challenged := header.PickChallenge(resp.Header)
	switch {
	case resp.StatusCode == http.StatusUnauthorized && challenged:
		return s.again(req, resp, ch, used)
	case mayMeanExpired(resp.StatusCode) && s.drop(used):
		return s.anew(req, resp, used)
	case resp.StatusCode < http.StatusBadRequest:
		s.proven(used)
	}
	return resp, nil
}

// mayMeanExpired reports whether registries are known to answer so to a token that has expired.
func mayMeanExpired(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden
}

// again answers a challenge and sends a request once more. refused is the answer that held the challenge, used what was
// sent with it.
func (s *Session) again(
	req *http.Request, refused *http.Response, ch header.Challenge, used string,
) (*http.Response, error) {
	if err := keepBody(refused); err != nil {
		return nil, err
	}
	fresh, err := s.renew(req.Context(), ch, used)
	if err != nil {
		return nil, err
	}
	if fresh == "" || fresh == used {
		return refused, nil
	}
	resp, err := s.trip(req, fresh)
	if err == nil && resp.StatusCode < http.StatusBadRequest {
		s.proven(fresh)
	}
	return resp, err
}

// anew sends a request without the grant that was refused, answering the challenge that this brings. A refusal of that
// says less than the first one.
func (s *Session) anew(req *http.Request, refused *http.Response, used string) (*http.Response, error) {
	if err := keepBody(refused); err != nil {
		return nil, err
	}
	resp, err := s.trip(req, "")
	if err != nil {
		return nil, err
	}
	ch, challenged := header.PickChallenge(resp.Header)
	switch {
	case resp.StatusCode == http.StatusUnauthorized && challenged:
		return s.again(req, resp, ch, used)
	case resp.StatusCode >= http.StatusBadRequest:
		resp.Body.Close()
		return refused, nil
	}
	return resp, nil
}

// proven notes that a grant was accepted.
func (s *Session) proven(header string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grant.header == header {
		s.grant.good = true
	}
}

// drop forgets a grant that was accepted before, and reports whether it did: what was refused from the start is not expired.
func (s *Session) drop(header string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if header == "" || s.grant.header != header || !s.grant.good {
		return false
	}
	s.grant = grant{}
	return true
}

// authorization returns the header to begin with: none before the first challenge, a fresh one when the last is about to
// expire.
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
