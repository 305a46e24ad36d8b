package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/config"
)

// way leads to a server that is known later.
func way(t *testing.T) (base string, to *atomic.Pointer[url.URL]) {
	return wayPast(t, func(*http.Request) {})
}

// wayPast is one that requests go past somebody on.
func wayPast(t *testing.T, look func(*http.Request)) (base string, to *atomic.Pointer[url.URL]) {
	t.Helper()
	to = &atomic.Pointer[url.URL]{}
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			look(r.In)
			r.SetURL(to.Load())
		}, ErrorLog: nil,
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

// Edges that are via each other are asked for the same at the same moment: each waits for the next one, which waits in its
// turn. They find that out, too.
func TestViaRing(t *testing.T) {
	t.Parallel()
	some := "sha256:" + strings.Repeat("5e", 32)
	for _, size := range []int{1, 2, 3} {
		for _, path := range []string{
			"v2/ghcr.io/team/os/manifests/latest", "v2/ghcr.io/team/os/manifests/" + some,
			"v2/ghcr.io/team/os/blobs/" + some, "v2/ghcr.io/team/os/tags/list",
			"strata/v1/delta?repository=ghcr.io/team/os&layer=" + some + "&seed=" + some,
		} {
			t.Run(fmt.Sprintf("%d %s", size, path), func(t *testing.T) {
				t.Parallel()
				// All ask the next one before anybody is asked.
				var asked, all sync.WaitGroup
				asked.Add(size)
				edges := make([]*url.URL, size)
				ways := make([]*atomic.Pointer[url.URL], size)
				for i := range edges {
					var once sync.Once
					var base string
					base, ways[i] = wayPast(t, func(*http.Request) {
						once.Do(asked.Done)
						asked.Wait()
					})
					edges[i] = edgeBehind(t, base)
				}
				for i, w := range ways {
					w.Store(edges[(i+1)%size])
				}
				client := &http.Client{Timeout: 30 * time.Second} // less than an upstream has
				defer client.CloseIdleConnections()
				for _, e := range edges {
					all.Go(func() {
						resp, err := client.Get(e.JoinPath("/").String() + path)
						if err != nil {
							t.Error(err)
							return
						}
						_ = resp.Body.Close()
						if resp.StatusCode != http.StatusLoopDetected {
							t.Errorf("%d", resp.StatusCode)
						}
					})
				}
				all.Wait()
			})
		}
	}
}
