package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name/nametest"
)

// distribution#4545: a 307 to a content network is followed; the network does not see our credentials.
func TestRedirectToContentNetwork(t *testing.T) {
	t.Parallel()
	blob := someBlob(1000)
	f := &flaky{blob: blob, breaks: []int{10}}
	cdn := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for _, h := range []string{"Authorization", "Referer", "Cookie"} {
			if r.Header.Get(h) != "" {
				t.Errorf("the content network got %s: %q", h, r.Header.Get(h))
			}
		}
		if r.URL.Query().Get("sig") != "abc+/=" || r.URL.Path != "/data/x y" {
			t.Errorf("the location was changed: %s", r.URL)
		}
		f.ServeHTTP(w, r)
	})
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("Location", cdn.URL+"/data/x%20y?sig=abc%2B%2F%3D#fragment")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	c, _ := client(t, srv.URL, func(s *setup) { s.config.Username, s.config.Password = "me", "s3cret" })
	r, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), -1)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := readAll(t, r); err != nil || !bytes.Equal(data, blob) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if len(f.ranges) != 2 || f.ranges[1] != "bytes=10-999" {
		t.Errorf("ranges %q: a resume must carry its range through the redirect", f.ranges)
	}
}

// Signed URLs are for one method; HEAD on one that is for GET gives 403.
func TestRedirectThatRefusesHead(t *testing.T) {
	t.Parallel()
	blob := someBlob(1000)
	cdn := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		(&flaky{blob: blob}).ServeHTTP(w, r)
	})
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, cdn.URL+"/x", http.StatusTemporaryRedirect)
	})
	c, _ := client(t, srv.URL)
	if n, err := c.StatBlob(t.Context(), testRepo, digest.FromBytes(blob)); err != nil || n != 1000 {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestRedirectsAreBounded(t *testing.T) {
	t.Parallel()
	n := 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		http.Redirect(w, r, fmt.Sprintf("/hop/%d", n), http.StatusFound)
	})
	c, _ := client(t, srv.URL)
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	if wantKind(t, err, Protocol); !errors.Is(err, ErrRefused) || n != maxRedirects+1 {
		t.Errorf("%d requests, %v", n, err)
	}
}

func TestRedirectsThatAreRefused(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://cdn.example/blob?sig=s3cret")
		w.WriteHeader(http.StatusFound)
	}))
	t.Cleanup(secure.Close)
	c, _ := client(t, secure.URL, func(s *setup) { s.config.SkipVerify = true })
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("https to http: got %v", err)
	}
	for _, location := range []string{
		"", "ftp://cdn.example/?s3cret", "https://user:s3cret@cdn.example/", "https:///x?s3cret", "http://[::1/?s3cret", "file:///s3cret",
		"https://169.254.169.254/s3cret", "http://[fe80::1]/s3cret", "http://0.0.0.0/s3cret", "gopher:s3cret",
		"/" + strings.Repeat("s3cret", maxLocation),
	} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{location}
			w.WriteHeader(http.StatusFound)
		})
		c, clock := client(t, srv.URL)
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if wantKind(t, err, Protocol); !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "s3cret") || len(clock.waited()) > 0 {
			t.Errorf("%.60q: got %.300v", location, err)
		}
	}
}

// viaProxy makes the upstream registry.test look public: it is reached through a forward proxy, other hosts directly.
func viaProxy(proxy string) func(*setup) {
	return func(s *setup) {
		s.options.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Hostname() == testRepo.Host() || r.URL.Hostname() == "proxied.test" || r.URL.Hostname() == "127.1" {
				return url.Parse(proxy)
			}
			return nil, nil
		}
	}
}

func TestPublicUpstreamMustNotLeadInside(t *testing.T) {
	t.Parallel()
	inside := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a service inside was reached") })
	port := inside.URL[strings.LastIndexByte(inside.URL, ':'):]
	var location string
	proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	proxyPort := proxy.URL[strings.LastIndexByte(proxy.URL, ':'):]
	c, _ := client(t, "http://registry.test", viaProxy(proxy.URL))
	for _, host := range []string{
		"127.0.0.1" + port, "localhost" + port, "[::ffff:127.0.0.1]" + port, // resolved and refused when dialled
		"127.1" + port,          // through a proxy, which would resolve it
		"127.0.0.1" + proxyPort, // the proxy itself
	} {
		location = "http://" + host + "/"
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if wantKind(t, err, Protocol); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v", host, err)
		}
	}
}

// A token service inside is no better than a redirect inside.
func TestPublicUpstreamMustNotNameTokenServiceInside(t *testing.T) {
	t.Parallel()
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a service inside was reached") }))
	t.Cleanup(inside.Close)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		realm := "https://" + host + inside.URL[strings.LastIndexByte(inside.URL, ':'):] + "/token"
		proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		c, _ := client(t, "http://registry.test", viaProxy(proxy.URL))
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if wantKind(t, err, Protocol); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v", realm, err)
		}
	}
}

func TestUnlistedHosts(t *testing.T) {
	t.Parallel()
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a service inside was reached") }))
	t.Cleanup(inside.Close)
	c, _ := client(t, "https://registry.test")
	other := nametest.Repository(strings.TrimPrefix(inside.URL, "https://") + "/org/app")
	_, err := c.Manifest(t.Context(), other, "latest")
	wantKind(t, err, NotConfigured)

	c, _ = client(t, "https://registry.test", func(s *setup) { s.options.AllowUnlisted = true })
	for _, host := range []string{other.Host(), strings.Replace(other.Host(), "127.0.0.1", "localhost", 1), "169.254.169.254:443"} {
		_, err := c.Manifest(t.Context(), nametest.Repository(host+"/org/app"), "latest")
		if wantKind(t, err, Protocol); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v", host, err)
		}
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		trusted       addressClass
		allow, refuse string
	}{
		{0, "8.8.8.8 2606:4700::1111", "10.0.0.1 127.0.0.1 169.254.169.254 ::1 fd00::1 0.0.0.0"},
		{public, "8.8.8.8", "10.0.0.1 127.0.0.1 169.254.169.254 100.64.0.1"},
		{private, "8.8.8.8 10.0.0.1 192.168.1.1 fd00::1 100.64.0.1", "127.0.0.1 169.254.169.254 fd00:ec2::254 100.100.100.200"},
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
			if err := g.check(netip.MustParseAddr(ip)); !errors.Is(err, ErrRefused) {
				t.Errorf("trusted %d: %s is allowed", tc.trusted, ip)
			}
		}
	}
}

func TestGuardBehindProxy(t *testing.T) {
	t.Parallel()
	g := newGuard()
	for host, ok := range map[string]bool{
		"cdn.example": true, "8.8.8.8": true, "localhost": false, "LOCALHOST.": false, "x.localhost": false, "10.0.0.1": false, "::1": false,
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
