package transport

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/sony/gobreaker/v2"

	"github.com/strata-oci/strata/proxy/upstream"
)

// Host is the way to one registry and to where it leads. It is safe for concurrent use.
type Host struct {
	name    string
	base    *url.URL
	options Options
	timeout time.Duration
	minRate int64
	traced  bool

	home    http.RoundTripper // to base itself
	foreign http.RoundTripper // to where its answers lead: no client certificate, guarded addresses
	pools   []*http.Transport // those of the two that are this host's alone

	redirectHosts hostList // where its answers may lead; empty: any public host, and the like of its own
	limits        *limits
	budget        budget
	circuit       *circuit                     // before base
	circuits      *lru.Cache[string, *circuit] // before the servers that answers lead to
	newCircuit    func(server string) *circuit
	running, held atomic.Int64
}

// New checks a configuration, reads the certificates it names and returns the way to a registry that callers know by a
// name, such as "ghcr.io". It makes no connection.
func New(name string, c Config, o Options) (*Host, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	o = o.WithDefaults()
	base, err := c.base(name)
	if err != nil {
		return nil, err
	}
	pool, err := roots(c.CAFile)
	if err != nil {
		return nil, err
	}
	homeTLS, err := c.homeTLS(pool)
	if err != nil {
		return nil, err
	}
	g := newGuard()
	g.listed = c.RedirectHosts
	proxy, err := egress(c.Proxy, o.Proxy)
	if err != nil {
		return nil, err
	}
	home := newTransport(c.Timeout, homeTLS, g.dialHome(hostPort(base)), g.proxyHome(proxy))
	foreign := newTransport(c.Timeout, newTLS(pool), g.dialForeign, g.proxyForeign(proxy))
	h, err := newHost(name, base, c, o)
	if err != nil {
		return nil, err
	}
	h.home, h.foreign, h.pools = home, foreign, []*http.Transport{home, foreign}
	return h, nil
}

// newHost returns a host that lacks connections.
func newHost(name string, base *url.URL, c Config, o Options) (*Host, error) {
	circuits, err := lru.New[string, *circuit](maxCircuits)
	if err != nil {
		return nil, fmt.Errorf("breakers of %s: %w", name, err)
	}
	h := &Host{
		name: name, base: base, options: o, timeout: c.Timeout, minRate: c.MinRate, traced: c.Traced,
		redirectHosts: c.RedirectHosts, limits: newLimits(c, o), circuits: circuits,
	}
	h.newCircuit = func(server string) *circuit {
		return newCircuit(server, c.Persistent, o.Now, func(server, state string) {
			level := slog.LevelInfo
			if state == gobreaker.StateOpen.String() {
				level = slog.LevelWarn
			}
			o.Logger.LogAttrs(context.Background(), level, "upstream's breaker changed", slog.String("host", name),
				slog.String("server", server), slog.String("state", state))
		})
	}
	h.circuit = h.newCircuit(base.Host)
	return h, nil
}

// Name is what callers know the registry by.
func (h *Host) Name() string { return h.name }

// Timeout is how long the host may be silent.
func (h *Host) Timeout() time.Duration { return h.timeout }

// URL returns the address of a path of the registry.
func (h *Host) URL(path string) *url.URL {
	u := *h.base
	u.Path = path
	return &u
}

// GivenUp reports whether the registry failed so often that another attempt in a row only keeps a caller waiting. It is
// asked again by the next one.
func (h *Host) GivenUp() bool { return h.circuit.givenUp() }

// CloseIdle closes connections that nobody uses.
func (h *Host) CloseIdle() {
	for _, t := range h.pools {
		t.CloseIdleConnections()
	}
}

// Status tells how the upstream fares.
func (h *Host) Status() upstream.HostStatus {
	now := h.options.Now()
	s := upstream.HostStatus{
		Host: h.name, State: h.circuit.state(), Failing: h.circuit.failing(), Budget: h.budget.report(now),
		Running: h.running.Load(), Held: h.held.Load(),
	}
	if wait := h.circuit.pause(); wait > 0 {
		s.PausedUntil = now.Add(wait)
	}
	return s
}

// tripper returns the connections for a URL.
func (h *Host) tripper(u *url.URL) http.RoundTripper {
	if SameOrigin(u, h.base) {
		return h.home
	}
	return h.foreign
}

// circuitTo returns the circuit before the server of a URL.
func (h *Host) circuitTo(u *url.URL) *circuit {
	if SameOrigin(u, h.base) {
		return h.circuit
	}
	key := u.Scheme + "://" + hostPort(u)
	if g, ok := h.circuits.Get(key); ok {
		return g
	}
	g := h.newCircuit(u.Host)
	if earlier, ok, _ := h.circuits.PeekOrAdd(key, g); ok {
		return earlier
	}
	return g
}
