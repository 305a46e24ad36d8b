package upstream

import (
	"net/http"
	"net/url"
	"time"
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
}

// newHost prepares an upstream. transports are the connection pools it owns.
func newHost(name string, c Config, o Options) (h *host, transports []*http.Transport, err error) {
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
	home := newTransport(c.Timeout, homeTLS, g.dialHome(hostPort(base)), g.proxyHome(o.Proxy))
	foreign := newTransport(c.Timeout, newTLS(pool), g.dialForeign, g.proxyForeign(o.Proxy))
	return &host{
		name: name, base: base, creds: credentialsFor(c, o.Keychain, o.Logger),
		timeout: c.Timeout, attempts: c.Attempts, backoff: c.Backoff, maxWait: c.MaxWait,
		home: home, foreign: foreign,
	}, []*http.Transport{home, foreign}, nil
}

// unlisted returns a host that nobody configured: https, defaults, and no address that the public cannot reach. It shares the
// connection pool of all such hosts.
func unlisted(name string, via http.RoundTripper, creds credentials) (*host, error) {
	c, err := Config{}.withDefaults()
	if err != nil {
		return nil, err
	}
	base, err := c.base(name)
	if err != nil {
		return nil, err
	}
	return &host{
		name: name, base: base, creds: creds,
		timeout: c.Timeout, attempts: c.Attempts, backoff: c.Backoff, maxWait: c.MaxWait,
		home: via, foreign: via,
	}, nil
}

// tripper returns the transport for a URL.
func (h *host) tripper(u *url.URL) http.RoundTripper {
	if sameOrigin(u, h.base) {
		return h.home
	}
	return h.foreign
}
