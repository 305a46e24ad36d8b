package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/strata-oci/strata/proxy/programtest"
)

// frontEnd starts a haproxy that ends TLS and hands requests on to a server, and returns its address.
func frontEnd(t *testing.T, a *authority, server string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := listener.Addr().String()
	dir := t.TempDir()
	var pem []byte
	for _, part := range []string{upstreamHost + ".crt", upstreamHost + ".key"} {
		b, err := os.ReadFile(a.path(part))
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, b...)
	}
	put := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	file := put("haproxy.cfg", fmt.Sprintf(`defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend clients
  bind %s ssl crt %s alpn h2,http/1.1
  default_backend strata
backend strata
  server one %s
`, at, put("both.pem", string(pem)), server))
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	startHaproxy(t, file)
	until(t, "haproxy", func() bool {
		c, err := net.DialTimeout("tcp", at, programtest.Patience)
		return err == nil && c.Close() == nil
	})
	return at
}

// Behind a front that ends TLS the Host header says for which registry a client came. What the front names in a
// connection of its own to the proxy has to agree with that, or to be nothing.
func TestAnswerAsBehindFront(t *testing.T) {
	t.Parallel()
	need(t, "haproxy")
	a := newAuthority(t)
	a.issue("proxy.example")
	a.issue(upstreamHost)
	u := newUpstream(t)
	u.push("os/image:v1", series(true)[0])
	as := "answer_as: [" + upstreamHost + "]\n"
	plain := newProxy(t, u, proxyOptions{top: as})
	encrypted := newProxy(t, u, proxyOptions{top: as + fmt.Sprintf("tls: {cert_file: %[1]s.crt, key_file: %[1]s.key}\n",
		a.path("proxy.example"))})
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	for name, tc := range map[string]struct {
		server string
		want   int
	}{
		"plain":         {plain.Clients, 200},
		"the same name": {encrypted.Clients + " ssl verify none sni ssl_fc_sni", 200},
		"no name":       {encrypted.Clients + " ssl verify none", 200},
		"its own name":  {encrypted.Clients + " ssl verify none sni str(proxy.example)", 421},
	} {
		at := frontEnd(t, a, tc.server)
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, at)
			},
		}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead,
			"https://"+upstreamHost+"/v2/os/image/manifests/v1", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != tc.want {
			t.Errorf("%s: %d, want %d", name, response.StatusCode, tc.want)
		}
		client.CloseIdleConnections()
	}
}
