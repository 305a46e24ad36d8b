package transport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"github.com/strata-oci/strata/proxy/upstream"
)

// guard decides which addresses an upstream may lead us to. Addresses are checked after name resolution, when the
// connection is made, so a name that resolves to a private address does not get through. It is safe for concurrent use.
type guard struct {
	dialer  net.Dialer
	trusted atomic.Uint32 // the addressClasses that the configured host was seen at
	listed  hostList      // names that the operator trusts, wherever they are
	proxies sync.Map      // "host:port" of the proxies in use, which the operator chose; they are few
}

func newGuard() *guard {
	return &guard{dialer: net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}}
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// dialHome returns a dialer for the configured host, which may be anywhere. It remembers the class of the address behind
// addr, "host:port".
func (g *guard) dialHome(home string) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := g.dialer.DialContext(ctx, network, addr)
		if err != nil || addr != home {
			return conn, err
		}
		if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			g.trusted.Or(uint32(classOf(tcp.AddrPort().Addr())))
		}
		return conn, nil
	}
}

// dialForeign connects to a host that an answer named. It refuses addresses that the configured host does not share.
func (g *guard) dialForeign(ctx context.Context, network, addr string) (net.Conn, error) {
	if _, ok := g.proxies.Load(addr); ok {
		return g.dialer.DialContext(ctx, network, addr)
	}
	if host, _, err := net.SplitHostPort(addr); err == nil && g.listed.has(host) {
		return g.dialer.DialContext(ctx, network, addr)
	}
	guarded := g.dialer
	guarded.Control = func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: connection to %q", upstream.ErrRefused, address)
		}
		return g.check(ap.Addr())
	}
	return guarded.DialContext(ctx, network, addr)
}

// check returns an error that wraps upstream.ErrRefused when an answer must not lead us to ip. A host on this machine may
// lead into the private network beside it, but not the other way: the proxy's own services listen here.
func (g *guard) check(ip netip.Addr) error {
	trusted := addressClass(g.trusted.Load())
	ok := false
	switch classOf(ip) {
	case public:
		ok = true
	case private:
		ok = trusted&(private|loopback) != 0
	case loopback:
		ok = trusted&loopback != 0
	case linkLocal:
		ok = trusted&linkLocal != 0
	}
	if !ok {
		return fmt.Errorf("%w: %s is %w", upstream.ErrRefused, ip, upstream.ErrNotPublic)
	}
	return nil
}

// proxyHome wraps a proxy function for requests to the configured host.
func (g *guard) proxyHome(next proxyFunc) proxyFunc {
	return func(req *http.Request) (*url.URL, error) {
		u, err := next(req)
		if u != nil {
			g.proxies.Store(hostPort(u), true)
			if ip, err := netip.ParseAddr(req.URL.Hostname()); err == nil {
				g.trusted.Or(uint32(classOf(ip))) // nobody here sees the connection that the proxy makes
			}
		}
		return u, err
	}
}

// proxyForeign wraps a proxy function for requests to hosts that answers named. Behind a proxy the dialer does not see
// where the connection ends, so what can be told from the URL is checked here; the proxy's own address is nobody's
// business. A name that is not written in ASCII is refused: net/http maps it (UTS 46) after the check, and what it becomes
// may be an address.
func (g *guard) proxyForeign(next proxyFunc) proxyFunc {
	return func(req *http.Request) (*url.URL, error) {
		if !isASCII(req.URL.Hostname()) {
			return nil, fmt.Errorf("%w: %q is no host name: in ASCII an internationalized one begins with xn--",
				upstream.ErrRefused, req.URL.Hostname())
		}
		u, err := next(req)
		if err != nil {
			return nil, err
		}
		if u != nil {
			g.proxies.Store(hostPort(u), true)
			if err := g.checkName(req.URL.Hostname()); err != nil {
				return nil, err
			}
		}
		if _, ok := g.proxies.Load(hostPort(req.URL)); ok {
			return nil, fmt.Errorf("%w: %s is a proxy", upstream.ErrRefused, req.URL.Host)
		}
		return u, nil
	}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// checkName checks a host name without resolving it.
func (g *guard) checkName(host string) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if g.listed.has(host) {
		return nil
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return g.check(netip.IPv6Loopback())
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.check(ip)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return fmt.Errorf("%w: %q is an address in an unusual form", upstream.ErrRefused, host)
	}
	return nil
}

// hostPort returns the address that a URL's host is dialled at.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		switch u.Scheme {
		case "https":
			port = "443"
		case "socks5", "socks5h":
			port = "1080"
		default:
			port = "80"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// SameOrigin reports whether two URLs have the same scheme, host and port.
func SameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && hostPort(a) == hostPort(b) }
