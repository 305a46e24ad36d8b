package transport

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/upstream"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		trusted       addressClass
		allow, refuse string
	}{
		{0, "8.8.8.8 2606:4700::1111", "10.0.0.1 127.0.0.1 169.254.169.254 ::1 fd00::1 0.0.0.0"},
		{public, "8.8.8.8", "10.0.0.1 127.0.0.1 169.254.169.254 100.64.0.1"},
		{private, "8.8.8.8 10.0.0.1 192.168.1.1 fd00::1 100.64.0.1",
			"127.0.0.1 169.254.169.254 fd00:ec2::254 100.100.100.200"},
		{loopback, "127.0.0.1 ::1 10.0.0.1", "169.254.169.254 fe80::1 224.0.0.1"},
		{linkLocal, "169.254.1.1 fe80::1", "127.0.0.1 10.0.0.1 ::"},
	} {
		g := newGuard()
		g.trusted.Store(uint32(tc.trusted))
		for _, ip := range strings.Fields(tc.allow) {
			if err := g.check(netip.MustParseAddr(ip)); err != nil {
				t.Errorf("trusted %d: %v", tc.trusted, err)
			}
		}
		for _, ip := range strings.Fields(tc.refuse) {
			if err := g.check(netip.MustParseAddr(ip)); !errors.Is(err, upstream.ErrRefused) {
				t.Errorf("trusted %d: %s is allowed", tc.trusted, ip)
			}
		}
	}
}

func TestGuardBehindProxy(t *testing.T) {
	t.Parallel()
	g := newGuard()
	for host, ok := range map[string]bool{
		"cdn.example": true, "8.8.8.8": true, "localhost": false, "LOCALHOST.": false, "x.localhost": false,
		"10.0.0.1": false, "::1": false,
		"127.1": false, "2130706433": false, "0x7f000001": false, "0177.0.0.1": false, "10.0.0.1.": false,
	} {
		if err := g.checkName(host); (err == nil) != ok {
			t.Errorf("%s: got %v", host, err)
		}
	}
}

func TestClassOf(t *testing.T) {
	t.Parallel()
	for class, addresses := range map[addressClass]string{
		public:    "1.1.1.1 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 2001:4860::8888 64:ff9b::101:101 ::ffff:0:1.1.1.1 198.17.255.255 198.20.0.1",
		private:   "10.1.2.3 172.16.0.1 192.168.0.1 100.64.0.1 fc00::1 fec0::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: ::10.0.0.1 ::ffff:0:192.168.0.1 64:ff9b:1::a9fe:a9fe 198.18.0.1 198.19.255.255",
		loopback:  "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1 ::127.0.0.1 ::ffff:0:127.0.0.1 2001:0:1:2:3:4:80ff:fffe",
		linkLocal: "169.254.0.1 fe80::1 fe80::1%eth0 100.100.100.200 fd00:ec2::254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe:: ::169.254.169.254",
		unusable:  "0.0.0.0 0.1.2.3 192.0.0.170 ::ffff:0.0.0.0 64:ff9b:: :: 224.0.0.251 240.0.0.1 255.255.255.255 ff02::1",
	} {
		for _, a := range strings.Fields(addresses) {
			if got := classOf(netip.MustParseAddr(a)); got != class {
				t.Errorf("%s: class %d, want %d", a, got, class)
			}
		}
	}
}

func TestHostList(t *testing.T) {
	t.Parallel()
	l := hostList{"cdn.example.com", "*.blob.example"}
	for host, want := range map[string]bool{
		"cdn.example.com": true, "CDN.Example.com.": true, "a.blob.example": true, "a.b.blob.example": true,
		"blob.example": false, "evilblob.example": false, "cdn.example.com.evil": false, "": false, "*.blob.example": true,
	} {
		if l.has(host) != want {
			t.Errorf("%q is listed: %v", host, !want)
		}
	}
}

// A listed name may be at a private address, also where the registry itself is public.
func TestListedHostIsTrusted(t *testing.T) {
	t.Parallel()
	cdn := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(cdn.Close)
	addr := cdn.Listener.Addr().String()
	g := newGuard()
	if _, err := g.dialForeign(t.Context(), "tcp", addr); !errors.Is(err, upstream.ErrRefused) {
		t.Errorf("not listed: %v", err)
	}
	g.listed = hostList{"127.0.0.1"}
	conn, err := g.dialForeign(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
