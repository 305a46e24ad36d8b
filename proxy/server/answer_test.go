package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/config"
)

// askName asks for a path at an address by a name: in the TLS handshake where c is not nil, and in the Host header.
func askName(t *testing.T, address, name, path string, c *tls.Config) (status int, shown []string, body string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
	dialer := &net.Dialer{}
	defer transport.CloseIdleConnections()
	scheme := "http://"
	if c != nil {
		scheme = "https://"
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+name+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.TLS != nil {
		shown = response.TLS.PeerCertificates[0].DNSNames
	}
	return response.StatusCode, shown, string(text)
}

// Each name has its certificate, which is read again when it changes; a new configuration brings and takes away names.
func TestAnswerAsCertificates(t *testing.T) {
	t.Parallel()
	a, dir := newAuthority(t), t.TempDir()
	issue := func(name string, hosts ...string) config.Certificate {
		cert, key := a.issueFor(name, hosts...)
		return config.Certificate{CertFile: put(t, dir, name+".crt", cert), KeyFile: put(t, dir, name+".key", key)}
	}
	c := configuration(t)
	own, ghcr := issue("own", "proxy.example"), issue("ghcr", "ghcr.io")
	c.TLS = config.TLS{CertFile: own.CertFile, KeyFile: own.KeyFile, Certificates: []config.Certificate{ghcr}}
	c.AnswerAs = config.HostList{"ghcr.io"}
	s, set := reloadable(t, c)
	address := s.Addr().String()
	shows := func(name, want string) {
		t.Helper()
		status, shown, _ := askName(t, address, name, "/v2/", a.client(""))
		if status != 200 || len(shown) == 0 || shown[0] != want {
			t.Errorf("%s: %d, %v", name, status, shown)
		}
	}
	shows("proxy.example", "proxy.example")
	shows("ghcr.io", "ghcr.io")
	cert, key := a.issueFor("new", "ghcr.io", "pkg.example")
	put(t, dir, "ghcr.crt", cert)
	put(t, dir, "ghcr.key", key)
	deadline := time.Now().Add(10 * time.Second) // files are looked at once a second
	for _, shown, _ := askName(t, address, "ghcr.io", "/v2/", a.client("")); len(shown) < 2; {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not used")
		}
		time.Sleep(50 * time.Millisecond)
		_, shown, _ = askName(t, address, "ghcr.io", "/v2/", a.client(""))
	}
	// A path without a registry is one at ghcr.io there; by the proxy's name it is at the default upstream.
	if _, _, body := askName(t, address, "ghcr.io", "/v2/No/manifests/x", a.client("")); !strings.Contains(body, `\"No\"`) {
		t.Error(body)
	}
	next := *c
	quay := issue("quay", "quay.io")
	next.TLS.Certificates, next.AnswerAs = []config.Certificate{ghcr, quay}, config.HostList{"ghcr.io", "quay.io"}
	set(&next, nil)
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	shows("quay.io", "quay.io")
	// The listener for operators is called by its own names only.
	if status, _, _ := askName(t, s.AdminAddr().String(), "ghcr.io", "/api/v1/status", nil); status < 400 {
		t.Errorf("operators are answered as ghcr.io: %d", status)
	}
}
