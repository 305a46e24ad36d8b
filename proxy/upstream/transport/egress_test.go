package transport

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/strata-oci/strata/proxy/upstream"
)

// forwardProxy is an HTTP proxy for CONNECT, which asks for a password. All names lead to one server.
type forwardProxy struct {
	*httptest.Server
	to string

	mu    sync.Mutex
	asked []string
}

func newForwardProxy(t *testing.T, to string) *forwardProxy {
	t.Helper()
	p := &forwardProxy{to: to}
	p.Server = httptest.NewServer(http.HandlerFunc(p.connect))
	t.Cleanup(p.Close)
	return p
}

func (p *forwardProxy) connect(w http.ResponseWriter, r *http.Request) {
	// net/http reads the login of a request to a proxy as it reads that of any other.
	r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
	if user, password, _ := r.BasicAuth(); user != "corp" || password != "s3cret" {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Host)
	p.mu.Unlock()
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		return
	}
	_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
	_, _ = io.Copy(near, far)
	_ = near.Close()
}

func (p *forwardProxy) targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// with returns the proxy's URL with a login.
func (p *forwardProxy) with(login string) string {
	return strings.Replace(p.URL, "://", "://"+login+"@", 1)
}

// A registry is reached by the proxy that its configuration names, and so is where it leads, as far as it may; nobody is
// told the proxy's password.
func TestEgress(t *testing.T) {
	t.Parallel()
	registry := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(registry.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: registry.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p := newForwardProxy(t, registry.Listener.Addr().String())
	good := p.with("corp:s3cret")
	environment := func(text string) proxyFunc {
		return func(*http.Request) (*url.URL, error) {
			u, err := url.Parse(text)
			if err != nil {
				return nil, fmt.Errorf("invalid proxy address %q: %w", text, err)
			}
			return u, nil
		}
	}
	for _, tc := range []struct {
		name, base, proxy, environment, to string
		listed                             []string
		refused                            bool
		fails                              bool
		target                             string // the last that the proxy was asked for
	}{
		{name: "by the key", proxy: good, target: "example.com:443"},
		{name: "by the environment", environment: good, target: "example.com:443"},
		{name: "the key before the environment", proxy: good, environment: "http://127.0.0.1:1", target: "example.com:443"},
		{name: "none", base: registry.URL, proxy: "none", environment: good},
		{name: "a wrong password", proxy: p.with("corp:s3crets"), fails: true},
		{name: "no URL in the environment", environment: "http://corp:s3cret%zz@x", fails: true},
		{name: "elsewhere", proxy: good, to: "https://example.com:8443/x", target: "example.com:8443"},
		{name: "a private address", proxy: good, to: "https://10.0.0.1/x", refused: true},
		{name: "this machine", proxy: good, to: "https://127.0.0.1/x", refused: true},
		{name: "this machine's name", proxy: good, to: "https://localhost./x", refused: true},
		{name: "metadata", proxy: good, to: "https://169.254.169.254/x", refused: true},
		{name: "metadata, IPv6", proxy: good, to: "https://[fd00:ec2::254]/x", refused: true},
		{name: "an address in disguise", proxy: good, to: "https://0x7f000001/x", refused: true},
		{name: "what UTS 46 makes an address", proxy: good, to: "https://169.254.169。254/x", refused: true},
		{name: "the same, escaped", proxy: good, to: "https://127%E3%80%820%E3%80%820%E3%80%821/x", refused: true},
		{name: "what it makes this machine's name", proxy: good, to: "https://ⓛocalhost/x", refused: true},
		{name: "what it shortens", proxy: good, to: "https://10.0.0\u00ad.1/x", refused: true},
		{name: "no ASCII and no proxy", base: registry.URL, proxy: "none", to: "https://127。0。0。1/x", refused: true},
		{name: "the proxy itself", proxy: good, to: strings.Replace(p.URL, "http:", "https:", 1), refused: true},
		{name: "a listed private address", proxy: good, to: "https://127.0.0.1:8443/x", listed: []string{"127.0.0.1"},
			target: "127.0.0.1:8443"},
		{name: "a registry at a private address", base: "https://127.0.0.1:9443", proxy: good, to: "https://127.0.0.1:8443/x",
			target: "127.0.0.1:8443"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(p.targets())
			base := tc.base
			if base == "" {
				base = "https://example.com"
			}
			h, err := New("registry.test", Config{URL: base, CAFile: ca, Proxy: tc.proxy, RedirectHosts: tc.listed},
				Options{Proxy: environment(tc.environment)})
			if err != nil {
				t.Fatal(err)
			}
			defer h.CloseIdle()
			at := h.URL("/v2/")
			at.RawQuery = url.Values{"to": {tc.to}}.Encode()
			resp, err := h.Send(t.Context(), Request{Method: http.MethodGet, URL: at}, h)
			if err == nil {
				_ = resp.Body.Close()
			}
			if tc.refused != errors.Is(err, upstream.ErrRefused) || (tc.fails || tc.refused) != (err != nil) {
				t.Fatalf("%v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "corp")) {
				t.Errorf("it tells the login: %v", err)
			}
			asked := p.targets()[before:]
			if last := strings.Join(asked[max(len(asked)-1, 0):], ""); tc.target != "" && last != tc.target ||
				tc.refused && tc.proxy != "none" && last != "example.com:443" || tc.proxy == "none" && last != "" {
				t.Errorf("the proxy was asked for %v, want %s at the end", asked, tc.target)
			}
		})
	}
}

func TestEgressRefused(t *testing.T) {
	t.Parallel()
	for _, proxy := range []string{"proxy.example:3128", "ftp://x", "http://", "http://corp:s3cret%zz@x"} {
		_, err := New("registry.test", Config{Proxy: proxy}, Options{})
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", proxy, err)
		}
	}
}
