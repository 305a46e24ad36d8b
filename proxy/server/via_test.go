package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/config"
)

// way leads to a server that is known later.
func way(t *testing.T) (base string, to *atomic.Pointer[url.URL]) {
	t.Helper()
	to = &atomic.Pointer[url.URL]{}
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to.Load()) }, ErrorLog: nil,
	})
	t.Cleanup(front.Close)
	return front.URL, to
}

// edgeBehind is an edge whose images of ghcr.io come from elsewhere.
func edgeBehind(t *testing.T, base string) *url.URL {
	t.Helper()
	c := configuration(t)
	c.Upstreams = map[string]config.Upstream{"ghcr.io": {Via: base, URL: base, Insecure: true}}
	return &url.URL{Scheme: "http", Host: serve(t, c).Addr().String()}
}

// An edge that is led back to itself says so at once, in place of waiting for itself.
func TestViaLoop(t *testing.T) {
	t.Parallel()
	own, toOwn := way(t)
	itself := edgeBehind(t, own)
	toOwn.Store(itself)
	first, toFirst := way(t)
	second, toSecond := way(t)
	one, other := edgeBehind(t, second), edgeBehind(t, first)
	toFirst.Store(one)
	toSecond.Store(other)
	client := &http.Client{Timeout: 30 * time.Second} // less than an upstream has
	defer client.CloseIdleConnections()
	some := "sha256:" + strings.Repeat("5e", 32)
	for what, base := range map[string]*url.URL{"itself": itself, "two": one, "two, the other": other} {
		for _, path := range []string{
			"/v2/ghcr.io/team/os/manifests/latest", "/v2/ghcr.io/team/os/manifests/" + some,
			"/v2/ghcr.io/team/os/blobs/" + some, "/v2/ghcr.io/team/os/tags/list",
			"/strata/v1/delta?repository=ghcr.io/team/os&layer=" + some + "&seed=" + some,
		} {
			resp, err := client.Get(base.JoinPath("/").String() + strings.TrimPrefix(path, "/"))
			if err != nil {
				t.Errorf("%s, %s: %v", what, path, err)
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusLoopDetected {
				t.Errorf("%s, %s: %d", what, path, resp.StatusCode)
			}
		}
	}
}
