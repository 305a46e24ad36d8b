// Package client fetches manifests, blobs, tags and referrers from the registries that images come from, over the pull
// side of the OCI distribution API, version 1.1.
//
// A Client knows one Config per registry host. It follows redirects to content networks, retries what is worth retrying,
// honours Retry-After, resumes broken blob bodies and verifies every byte that is named by a digest. Every failure is an
// *upstream.Error whose Kind says what to do about it, or a context error when the caller gave up.
package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/auth"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// Client fetches from upstream registries. It is safe for concurrent use.
type Client struct {
	options       Options
	hosts         map[string]*host
	strangers     *transport.Strangers // nil when unlisted hosts are not allowed
	strangerLogin auth.Credentials
	sessions      *lru.Cache[name.Repository, *session] // of repositories that something was found in
	newcomers     *lru.Cache[name.Repository, *session] // of others
	absent        *absences
	missLimits    *lru.Cache[string, *missLimit]       // by host
	tags          *lru.Cache[question, name.Reference] // that named a manifest, by its digest
	next          atomic.Pointer[Client]               // what this one has become, if not nil
}

// host is an upstream registry, ready for use.
type host struct {
	*transport.Host
	creds    auth.Credentials
	via      bool   // it is another Strata, and no registry
	config   Config // as it was given
	attempts int
	backoff  time.Duration
	maxWait  time.Duration
}

// New checks the configuration, reads the certificates it names and returns a Client. It makes no connection.
func New(o Options) (*Client, error) {
	o = o.withDefaults()
	sessions, err := lru.New[name.Repository, *session](o.Sessions)
	if err != nil {
		return nil, fmt.Errorf("upstream sessions: %w", err)
	}
	newcomers, err := lru.New[name.Repository, *session](maxNewcomers)
	if err != nil {
		return nil, fmt.Errorf("upstream sessions: %w", err)
	}
	absent, err := newAbsences(o.Now)
	if err != nil {
		return nil, err
	}
	missLimits, err := lru.New[string, *missLimit](maxMissLimits)
	if err != nil {
		return nil, fmt.Errorf("upstream misses: %w", err)
	}
	tags, err := lru.New[question, name.Reference](maxTagsKept)
	if err != nil {
		return nil, fmt.Errorf("upstream tags: %w", err)
	}
	c := &Client{
		options: o, hosts: make(map[string]*host, len(o.Hosts)), sessions: sessions, newcomers: newcomers,
		absent: absent, missLimits: missLimits, tags: tags,
	}
	for key, config := range o.Hosts {
		canonical, err := name.ParseHost(key)
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", key, err)
		}
		if c.hosts[canonical] != nil {
			return nil, fmt.Errorf("upstream %s: configured twice, under different names", canonical)
		}
		if c.hosts[canonical], err = c.newHost(canonical, config); err != nil {
			return nil, fmt.Errorf("upstream %s: %w", key, err)
		}
	}
	if o.AllowUnlisted {
		if c.strangers, err = transport.NewStrangers(o.transport()); err != nil {
			return nil, err
		}
		if c.strangerLogin, err = auth.New(auth.Login{}, o.Keychain, o.Logger); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// newHost prepares a configured upstream.
func (c *Client) newHost(key string, given Config) (*host, error) {
	config, err := given.withDefaults()
	if err != nil {
		return nil, err
	}
	creds, err := auth.New(config.Login, c.options.Keychain, c.options.Logger)
	if err != nil {
		return nil, err
	}
	config.Persistent = config.Persistent || config.Via // its clients have no other way
	config.Traced = config.Traced || config.Via
	way, err := transport.New(key, config.Config, c.options.transport())
	if err != nil {
		return nil, err
	}
	if config.Via {
		creds = auth.Elsewhere(creds, way.URL("").Host)
	}
	return &host{
		Host: way, creds: creds, via: config.Via, config: given,
		attempts: config.Attempts, backoff: config.Backoff, maxWait: config.MaxWait,
	}, nil
}

// host returns the upstream of a name.
func (c *Client) host(key string) (*host, error) {
	if h := c.hosts[key]; h != nil {
		return h, nil
	}
	if c.strangers == nil {
		return nil, errors.New("the host is not among the configured upstreams: add it there to pull from it")
	}
	way, err := c.strangers.Host(key)
	if err != nil {
		return nil, err
	}
	return &host{
		Host: way, creds: c.strangerLogin,
		attempts: DefaultAttempts, backoff: DefaultBackoff, maxWait: transport.DefaultMaxWait,
	}, nil
}

// Close closes idle connections. Requests under way go on.
func (c *Client) Close() {
	c = c.latest()
	for _, h := range c.hosts {
		h.CloseIdle()
	}
	if c.strangers != nil {
		c.strangers.CloseIdle()
	}
}

// Status tells how the upstreams fare that are configured or were asked lately, sorted by host.
func (c *Client) Status() []upstream.HostStatus {
	c = c.latest()
	var all []upstream.HostStatus
	for _, h := range c.hosts {
		all = append(all, h.Status())
	}
	if c.strangers != nil {
		all = append(all, c.strangers.Status()...)
	}
	slices.SortFunc(all, func(a, b upstream.HostStatus) int { return strings.Compare(a.Host, b.Host) })
	return all
}
