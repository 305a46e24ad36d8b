package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/name"
)

const (
	defaultSessions = 1024
	// maxStrangers bounds the hosts that are remembered without being configured: clients choose them.
	maxStrangers = 256
)

// Options are what a Client is made of. Only Hosts or AllowUnlisted is needed.
type Options struct {
	// Hosts holds the upstreams by the host that stands in repository names: "ghcr.io", "docker.io", "localhost:5000".
	Hosts map[string]Config
	// AllowUnlisted lets any other host be an upstream, with the defaults of Config, as long as its address is public.
	AllowUnlisted bool
	// Logger is told about failures that are swallowed. The default discards.
	Logger *slog.Logger
	// UserAgent is sent with every request. The default is "strata".
	UserAgent string
	// Observer counts; nil is nobody.
	Observer Observer
	// Keychain has the logins of hosts that are configured without one. The default is authn.DefaultKeychain: docker's
	// config.json, podman's auth.json, credential helpers.
	Keychain authn.Keychain
	// Proxy picks the HTTP proxy of a request. The default is http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Sessions is how many repositories' authorizations are kept. The default is 1024.
	Sessions int

	// Now and Sleep replace the clock in tests. Sleep returns the context's error when that ends first.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleepContext
	}
	if o.Sessions <= 0 {
		o.Sessions = defaultSessions
	}
	o.UserAgent = orDefault(o.UserAgent, "strata")
	return o
}

// Client fetches from upstream registries. It is safe for concurrent use.
type Client struct {
	hosts         map[string]*host
	unlisted      http.RoundTripper // nil when unlisted hosts are not allowed
	unlistedCreds credentials
	strangers     *lru.Cache[string, *host] // hosts that nobody configured
	sessions      *lru.Cache[name.Repository, *session]
	configs       map[string]Config            // of hosts, as they were given
	pools         map[string][]*http.Transport // by host; of the others under ""
	next          atomic.Pointer[Client]       // what this one has become, if not nil

	log       *slog.Logger
	userAgent string
	observer  Observer
	now       func() time.Time
	sleep     func(context.Context, time.Duration) error
}

// New checks the configuration, reads the certificates it names and returns a Client. It makes no connection.
func New(o Options) (*Client, error) {
	o = o.withDefaults()
	sessions, err := lru.New[name.Repository, *session](o.Sessions)
	if err != nil {
		return nil, fmt.Errorf("upstream sessions: %w", err)
	}
	strangers, err := lru.New[string, *host](maxStrangers)
	if err != nil {
		return nil, fmt.Errorf("upstream hosts: %w", err)
	}
	c := &Client{
		hosts: make(map[string]*host, len(o.Hosts)), sessions: sessions,
		configs: map[string]Config{}, pools: map[string][]*http.Transport{}, strangers: strangers, log: o.Logger, userAgent: o.UserAgent, observer: o.Observer, now: o.Now, sleep: o.Sleep,
	}
	for key, config := range o.Hosts {
		canonical, err := name.ParseHost(key)
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", key, err)
		}
		if c.hosts[canonical] != nil {
			return nil, fmt.Errorf("upstream %s: configured twice, under different names", canonical)
		}
		h, transports, err := c.newHost(canonical, config, o)
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", key, err)
		}
		c.hosts[canonical] = h
		c.configs[canonical], c.pools[canonical] = config, transports
	}
	if o.AllowUnlisted {
		g := newGuard()
		t := newTransport(DefaultTimeout, newTLS(nil), g.dialForeign, g.proxyForeign(o.Proxy))
		c.unlisted, c.unlistedCreds = t, login{keychain: o.Keychain, log: o.Logger}
		c.pools[""] = []*http.Transport{t}
	}
	return c, nil
}

// Close closes idle connections. Requests under way go on.
func (c *Client) Close() {
	for _, pool := range c.latest().pools {
		closeIdle(pool)
	}
}

// session returns the session of a repository, made now or kept from earlier.
func (c *Client) session(op string, repo name.Repository) (*session, error) {
	c = c.latest()
	if repo == (name.Repository{}) {
		return nil, &Error{Op: op, Kind: NotFound, Err: name.ErrInvalid}
	}
	if s, ok := c.sessions.Get(repo); ok {
		return s, nil
	}
	h := c.hosts[repo.Host()]
	if h == nil {
		var err error
		if h, err = c.unlistedHost(repo.Host()); err != nil {
			return nil, &Error{Host: repo.Host(), Repository: repo.Path(), Op: op, Kind: NotConfigured, Err: err}
		}
	}
	s := &session{client: c, host: h, repo: repo}
	if earlier, ok, _ := c.sessions.PeekOrAdd(repo, s); ok {
		return earlier, nil
	}
	return s, nil
}
