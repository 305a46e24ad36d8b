package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/auth"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// session is the use of one repository of one upstream.
type session struct {
	client *Client
	host   *host
	repo   name.Repository // host as callers name it, path as the upstream knows it
	auth   *auth.Session
	misses *missLimit

	found    atomic.Bool // something was found in the repository
	headless atomic.Bool // its manifests are there for GET only
}

// foundIf notes that something was found in the repository. From then on its session is kept beside those like it, so
// that made-up names push out none of them.
func (s *session) foundIf(found bool) {
	if found && !s.found.Swap(true) {
		s.client.sessions.Add(s.repo, s)
		s.client.newcomers.Remove(s.repo)
	}
}

// session returns the session of a repository, made now or kept from earlier.
func (c *Client) session(op string, repo name.Repository) (*session, error) {
	c = c.latest()
	if repo == (name.Repository{}) {
		return nil, &upstream.Error{Op: op, Kind: upstream.NotFound, Err: name.ErrInvalid}
	}
	for _, known := range []*lru.Cache[name.Repository, *session]{c.sessions, c.newcomers} {
		if s, ok := known.Get(repo); ok {
			return s, nil
		}
	}
	h, err := c.host(repo.Host())
	if err != nil {
		return nil, &upstream.Error{
			Host: repo.Host(), Repository: repo.Path(), Op: op, Kind: upstream.NotConfigured, Err: err,
		}
	}
	s := &session{
		client: c, host: h, repo: repo, misses: newMissLimit(),
		auth: auth.NewSession(h, h.creds, repo, h.pathOf(repo), c.options.Now, c.options.Logger),
	}
	if earlier, ok, _ := c.newcomers.PeekOrAdd(repo, s); ok {
		return earlier, nil
	}
	return s, nil
}

// url returns the address of a part of the repository: "manifests/latest", "blobs/sha256:…".
func (s *session) url(part string) *url.URL {
	return s.host.URL("/v2/" + s.host.pathOf(s.repo) + "/" + part)
}

// pathOf returns what the upstream calls a repository.
func (h *host) pathOf(repo name.Repository) string {
	if h.via {
		return repo.String()
	}
	return repo.Path()
}

// send makes one attempt at a request.
func (s *session) send(ctx context.Context, r transport.Request) (*transport.Response, error) {
	return s.host.Send(ctx, r, s.auth)
}

// fail turns any error of an operation into what callers get: an *upstream.Error that names host, repository and
// operation, or, when the caller's own context ended, an error that wraps the context's.
func (s *session) fail(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s from upstream %s: %w", op, s.repo, ctx.Err())
	}
	var e *upstream.Error
	if errors.As(err, &e) {
		filled := *e
		if filled.Op == "" {
			filled.Op = op
		}
		filled.Host, filled.Repository = s.repo.Host(), s.repo.Path()
		return &filled
	}
	return &upstream.Error{
		Host: s.repo.Host(), Repository: s.repo.Path(), Op: op, Kind: upstream.Classify(err), Err: upstream.Scrub(err),
	}
}
