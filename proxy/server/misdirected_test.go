package server_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/http2"

	"github.com/strata-oci/strata/proxy/config"
)

// connection is one of HTTP/2 that a client made for a name.
func connection(t *testing.T, address string, c *tls.Config, name string) *http2.ClientConn {
	t.Helper()
	c = c.Clone()
	c.ServerName, c.NextProtos = name, []string{"h2"}
	conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	h2, err := (&http2.Transport{}).NewClientConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	return h2
}

// tell sends a request for a host on a connection.
func tell(t *testing.T, on *http2.ClientConn, host string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := on.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// One certificate is for two registries and the proxy, as clients take for leave to ask one on the connection to
// another: they are told to make one of its own, the connection goes on, and there they are answered. The listener has
// not the port of HTTPS.
func TestSharedConnections(t *testing.T) {
	t.Parallel()
	a, dir := newAuthority(t), t.TempDir()
	cert, key := a.issueFor("all", "proxy.example", "ghcr.io", "quay.io")
	c := configuration(t)
	c.TLS = config.TLS{CertFile: put(t, dir, "all.crt", cert), KeyFile: put(t, dir, "all.key", key)}
	c.AnswerAs = config.HostList{"ghcr.io", "quay.io"}
	s, _ := reloadable(t, c)
	address := s.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ghcr := connection(t, address, a.client(""), "ghcr.io")
	own := connection(t, address, a.client(""), "proxy.example")
	for _, tc := range []struct {
		on   *http2.ClientConn
		host string
		want int
	}{
		{ghcr, "ghcr.io", 200},
		{ghcr, "quay.io", 421},
		{ghcr, "proxy.example", 421},
		{ghcr, "ghcr.io:" + port, 421},
		{ghcr, "127.0.0.1:" + port, 421},
		{ghcr, "[::1]:" + port, 421},
		{ghcr, "GHCR.IO.:443", 200},
		{own, "ghcr.io", 421},
		{own, "proxy.example", 200},
		{own, address, 200},
		{connection(t, address, a.client(""), "quay.io"), "quay.io", 200},
	} {
		if got, body := tell(t, tc.on, tc.host); got != tc.want {
			t.Errorf("%s: %d, want %d: %s", tc.host, got, tc.want, body)
		}
	}
}
