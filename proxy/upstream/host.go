package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// dockerHub is known by a name where no registry answers. Its images with names of one part are in "library/".
const dockerHub = "docker.io"

// host is an upstream registry, ready for use.
type host struct {
	name  string
	base  *url.URL
	creds credentials

	timeout  time.Duration
	attempts int
	backoff  time.Duration
	maxWait  time.Duration

	home    http.RoundTripper // to base itself
	foreign http.RoundTripper // to where its answers lead: no client certificate, guarded addresses

	redirectHosts hostList // where its answers may lead; empty: any public host, and the like of its own
	limits        *limits
	budget        budget
	gate          *gate                     // before base
	gates         *lru.Cache[string, *gate] // before the servers that answers lead to
	newGate       func(server string) *gate
	running, held atomic.Int64
}

// newHost prepares an upstream. transports are the connection pools it owns.
func (client *Client) newHost(name string, c Config, o Options) (h *host, transports []*http.Transport, err error) {
	if c, err = c.withDefaults(); err != nil {
		return nil, nil, err
	}
	base, err := c.base(name)
	if err != nil {
		return nil, nil, err
	}
	pool, err := roots(c.CAFile)
	if err != nil {
		return nil, nil, err
	}
	homeTLS, err := c.homeTLS(pool)
	if err != nil {
		return nil, nil, err
	}
	g := newGuard()
	g.listed = c.RedirectHosts
	home := newTransport(c.Timeout, homeTLS, g.dialHome(hostPort(base)), g.proxyHome(o.Proxy))
	foreign := newTransport(c.Timeout, newTLS(pool), g.dialForeign, g.proxyForeign(o.Proxy))
	h, err = client.hostOf(name, base, c)
	if err != nil {
		return nil, nil, err
	}
	h.creds, h.home, h.foreign = credentialsFor(c, o.Keychain, o.Logger), home, foreign
	return h, []*http.Transport{home, foreign}, nil
}

// hostOf returns a host that lacks credentials and transports.
func (client *Client) hostOf(name string, base *url.URL, c Config) (*host, error) {
	gates, err := lru.New[string, *gate](maxGates)
	if err != nil {
		return nil, err
	}
	h := &host{
		name: name, base: base, timeout: c.Timeout, attempts: c.Attempts, backoff: c.Backoff, maxWait: c.MaxWait,
		redirectHosts: c.RedirectHosts, limits: newLimits(client, c), gates: gates,
	}
	h.newGate = func(server string) *gate {
		return newGate(server, client.now, func(server, state string) {
			client.log.LogAttrs(context.Background(), slog.LevelWarn, "upstream's breaker changed", slog.String("host", name),
				slog.String("server", server), slog.String("state", state))
		})
	}
	h.gate = h.newGate(base.Host)
	return h, nil
}

// unlisted returns a host that nobody configured: https, defaults, and no address that the public cannot reach. It shares the
// connection pool of all such hosts.
func (client *Client) unlistedHost(name string) (*host, error) {
	if client.unlisted == nil {
		return nil, errors.New("the host is not among the configured upstreams: add it there to pull from it")
	}
	if h, ok := client.strangers.Get(name); ok {
		return h, nil
	}
	c, err := Config{MaxConnections: strangerRequests, MaxDownloads: strangerDownloads}.withDefaults()
	if err != nil {
		return nil, err
	}
	base, err := c.base(name)
	if err != nil {
		return nil, err
	}
	h, err := client.hostOf(name, base, c)
	if err != nil {
		return nil, err
	}
	h.creds, h.home, h.foreign = client.unlistedCreds, client.unlisted, client.unlisted
	if earlier, ok, _ := client.strangers.PeekOrAdd(name, h); ok {
		return earlier, nil
	}
	return h, nil
}

// tripper returns the transport for a URL.
func (h *host) tripper(u *url.URL) http.RoundTripper {
	if sameOrigin(u, h.base) {
		return h.home
	}
	return h.foreign
}

// How much a host is asked for at once that nobody configured.
const (
	strangerRequests  = 64
	strangerDownloads = 32
)

// gateTo returns the gate before the server of a URL.
func (h *host) gateTo(u *url.URL) *gate {
	if sameOrigin(u, h.base) {
		return h.gate
	}
	key := u.Scheme + "://" + hostPort(u)
	if g, ok := h.gates.Get(key); ok {
		return g
	}
	g := h.newGate(u.Host)
	if earlier, ok, _ := h.gates.PeekOrAdd(key, g); ok {
		return earlier
	}
	return g
}
