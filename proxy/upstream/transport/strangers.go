package transport

import (
	"fmt"
	"net/http"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/upstream"
)

// maxStrangers bounds the hosts that are remembered without being configured: clients choose them.
const maxStrangers = 256

// Strangers are hosts that nobody configured: https, defaults, and no address that the public cannot reach. They share
// one pool of connections; each has limits and a breaker of its own. It is safe for concurrent use.
type Strangers struct {
	options   Options
	transport *http.Transport
	hosts     *lru.Cache[string, *Host]
}

// NewStrangers returns an empty set, which remembers up to 256 hosts.
func NewStrangers(o Options) (*Strangers, error) {
	o = o.WithDefaults()
	hosts, err := lru.New[string, *Host](maxStrangers)
	if err != nil {
		return nil, fmt.Errorf("unlisted hosts: %w", err)
	}
	proxy, err := egress("", o.Proxy)
	if err != nil {
		return nil, err
	}
	g := newGuard()
	t := newTransport(DefaultTimeout, newTLS(nil), g.dialForeign, g.proxyForeign(proxy))
	return &Strangers{options: o, transport: t, hosts: hosts}, nil
}

// Host returns the way to a host, made now or kept from earlier.
func (s *Strangers) Host(name string) (*Host, error) {
	if h, ok := s.hosts.Get(name); ok {
		return h, nil
	}
	c, err := Config{}.withDefaults()
	if err != nil {
		return nil, err
	}
	base, err := c.base(name)
	if err != nil {
		return nil, err
	}
	h, err := newHost(name, base, c, s.options)
	if err != nil {
		return nil, err
	}
	h.home, h.foreign = s.transport, s.transport
	if earlier, ok, _ := s.hosts.PeekOrAdd(name, h); ok {
		return earlier, nil
	}
	return h, nil
}

// Status tells how those fare that were asked lately.
func (s *Strangers) Status() []upstream.HostStatus {
	var all []upstream.HostStatus
	for _, h := range s.hosts.Values() {
		all = append(all, h.Status())
	}
	return all
}

// CloseIdle closes connections that nobody uses.
func (s *Strangers) CloseIdle() { s.transport.CloseIdleConnections() }
