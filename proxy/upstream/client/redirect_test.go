package client

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/upstream"
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
	if wantKind(t, err, upstream.Protocol); !errors.Is(err, upstream.ErrRefused) || n != 6 {
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
	if !errors.Is(err, upstream.ErrRefused) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("https to http: got %v", err)
	}
	for _, location := range []string{
		"", "ftp://cdn.example/?s3cret", "https://user:s3cret@cdn.example/", "https:///x?s3cret", "http://[::1/?s3cret",
		"file:///s3cret",
		"https://169.254.169.254/s3cret", "http://[fe80::1]/s3cret", "http://0.0.0.0/s3cret", "gopher:s3cret",
		"/" + strings.Repeat("s3cret", 16<<10),
	} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{location}
			w.WriteHeader(http.StatusFound)
		})
		c, clock := client(t, srv.URL)
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if wantKind(t, err, upstream.Protocol); !errors.Is(err, upstream.ErrRefused) ||
			strings.Contains(err.Error(), "s3cret") || len(clock.waited()) > 0 {
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
		if wantKind(t, err, upstream.Protocol); !errors.Is(err, upstream.ErrRefused) {
			t.Errorf("%s: got %v", host, err)
		}
	}
}

// A token service inside is no better than a redirect inside.
func TestPublicUpstreamMustNotNameTokenServiceInside(t *testing.T) {
	t.Parallel()
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter,
		*http.Request) {
		t.Error("a service inside was reached")
	}))
	t.Cleanup(inside.Close)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		realm := "https://" + host + inside.URL[strings.LastIndexByte(inside.URL, ':'):] + "/token"
		proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		c, _ := client(t, "http://registry.test", viaProxy(proxy.URL))
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if wantKind(t, err, upstream.Protocol); !errors.Is(err, upstream.ErrRefused) {
			t.Errorf("%s: got %v", realm, err)
		}
	}
}

func TestUnlistedHosts(t *testing.T) {
	t.Parallel()
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter,
		*http.Request) {
		t.Error("a service inside was reached")
	}))
	t.Cleanup(inside.Close)
	c, _ := client(t, "https://registry.test")
	other := nametest.Repository(strings.TrimPrefix(inside.URL, "https://") + "/org/app")
	_, err := c.Manifest(t.Context(), other, "latest")
	wantKind(t, err, upstream.NotConfigured)

	c, _ = client(t, "https://registry.test", func(s *setup) { s.options.AllowUnlisted = true })
	for _, host := range []string{other.Host(), strings.Replace(other.Host(), "127.0.0.1", "localhost", 1),
		"169.254.169.254:443"} {
		_, err := c.Manifest(t.Context(), nametest.Repository(host+"/org/app"), "latest")
		if wantKind(t, err, upstream.Protocol); !errors.Is(err, upstream.ErrRefused) {
			t.Errorf("%s: got %v", host, err)
		}
	}
}
