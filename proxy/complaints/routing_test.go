package complaints

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/strata-oci/strata/proxy/config"
)

func severalUpstreams(t *testing.T) {
	a, b := newUpstream(t), newUpstream(t)
	inA, inB := a.push("os/image:stable", image(1, 1000, "amd64")), b.push("os/image:stable", image(2, 1000, "amd64"))
	p := newProxy(t, a, func(c *config.Config) {
		u := c.Upstreams[upstreamHost]
		u.URL = b.server.URL
		c.Upstreams["second.test"] = u
	})
	for path, want := range map[string]string{
		"/v2/os/image/manifests/stable":                      inA.String(),
		"/v2/registry.test/os/image/manifests/stable":        inA.String(),
		"/v2/second.test/os/image/manifests/stable":          inB.String(),
		"/v2/os/image/manifests/stable?ns=second.test":       inB.String(),
		"/v2/second.test/os/image/manifests/" + inB.String(): inB.String(),
	} {
		if got := p.want(path, http.StatusOK, "original"); got.header.Get("Docker-Content-Digest") != want {
			t.Errorf("%s: %s", path, got.header.Get("Docker-Content-Digest"))
		}
	}
	if got := p.get("/v2/third.test/os/image/manifests/stable"); got.status != http.StatusNotFound ||
		got.code() != "NAME_UNKNOWN" {
		t.Errorf("an upstream that is not configured: %s", got)
	}
}

// The upstream sends clients on to a content network, as most do.
func redirected(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	cdn := httptest.NewServer(u.registry)
	t.Cleanup(cdn.Close)
	for _, code := range []int{301, 302, 303, 307, 308} {
		u.breaks(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			http.Redirect(w, r, cdn.URL+r.URL.Path, code)
			return true
		})
		if err := newProxy(t, u).pull("os/image", "stable"); err != nil {
			t.Errorf("status %d: %v", code, err)
		}
	}
}

func privateAuthority(t *testing.T) {
	u := newUpstream(t, httptest.NewTLSServer)
	file := filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.server.Certificate().Raw})
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	i := image(1, 1000, "amd64")
	ref := must(name.ParseReference(strings.TrimPrefix(u.server.URL, "https://") + "/os/image:stable"))
	if err := remote.Write(ref, i, remote.WithTransport(u.server.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, u, upstreamSettings(func(s *config.Upstream) { s.CAFile, s.Insecure = file, false }))
	if err := p.pull("os/image", "stable"); err != nil {
		t.Error(err)
	}
	p = newProxy(t, u, upstreamSettings(func(s *config.Upstream) { s.Insecure = false }))
	if a := p.get("/v2/os/image/manifests/stable"); a.status != http.StatusBadGateway || a.code() != "UNAVAILABLE" {
		t.Errorf("without the authority: %s", a)
	}
}

// A proxy whose upstream is a proxy serves the same image.
func chained(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 200_000, "amd64"))
	inner := newProxy(t, u, rechunks)
	want := inner.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
	outer := newProxy(t, u, upstreamSettings(func(s *config.Upstream) { s.URL = inner.url }))
	got := outer.want("/v2/os/image/manifests/stable", http.StatusOK, "original")
	if string(got.body) != string(want.body) {
		t.Error("another manifest")
	}
	if err := outer.pull("os/image", "stable"); err != nil {
		t.Error(err)
	}
	u.stop()
	if err := outer.pull("os/image", "stable"); err != nil {
		t.Errorf("without the upstream: %v", err)
	}
}

func referrers(t *testing.T) {
	u := newUpstream(t)
	d := u.push("os/image:stable", image(1, 1000, "amd64"))
	// Distribution has no referrers API: clients keep the list under a tag.
	list := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: image(2, 10, "amd64")})
	if err := remote.WriteIndex(u.ref("os/image:sha256-"+d.Encoded()), list); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, u)
	a := p.get("/v2/os/image/referrers/" + d.String())
	var idx struct {
		MediaType string
		Manifests []struct{ Digest string }
	}
	if err := json.Unmarshal(a.body, &idx); err != nil || a.status != http.StatusOK || len(idx.Manifests) != 1 {
		t.Errorf("%s: %s, %v", a, a.body, err)
	}
	if a := p.get("/v2/os/image/referrers/" + "sha256:" + strings.Repeat("0", 64)); a.status != http.StatusOK {
		t.Errorf("of nothing: %s", a)
	}
}

// tagsSaved lists the tags that were pulled while the upstream is out of reach.
func tagsSaved(t *testing.T) {
	u := newUpstream(t)
	for _, tag := range []string{"v1", "v2", "never"} {
		u.push("os/image:"+tag, image(1, 1000, "amd64"))
	}
	p := newProxy(t, u)
	p.want("/v2/os/image/manifests/v1", http.StatusOK, "original")
	p.want("/v2/os/image/manifests/v2", http.StatusOK, "original")
	u.stop()
	a := p.get("/v2/os/image/tags/list")
	var list struct{ Tags []string }
	if err := json.Unmarshal(a.body, &list); err != nil || !slices.Equal(list.Tags, []string{"v1", "v2"}) {
		t.Errorf("%s: %s, %v", a, a.body, err)
	}
	if a := p.get("/v2/_catalog"); !strings.Contains(string(a.body), upstreamHost+"/os/image") {
		t.Errorf("catalog: %s", a.body)
	}
}

// containerd and others ask for an index by HEAD, then for the image in it by digest.
func indexByHead(t *testing.T) {
	u := newUpstream(t)
	d := u.pushIndex("os/image:stable", 1)
	p := newProxy(t, u)
	if a := p.ask(http.MethodHead, "/v2/os/image/manifests/stable"); a.status != http.StatusOK ||
		a.header.Get("Docker-Content-Digest") != d.String() {
		t.Fatalf("%s", a)
	}
	u.stop()
	a := p.want("/v2/os/image/manifests/stable", http.StatusOK, "stale")
	if a.header.Get("Docker-Content-Digest") != d.String() {
		t.Errorf("another index: %v", a.header)
	}
	p.want("/v2/os/image/manifests/"+d.String(), http.StatusOK, "original")
}

// Of an index, the layers of the configured platforms are fetched and no others.
func onlyConfiguredPlatforms(t *testing.T) {
	u := newUpstream(t)
	u.pushIndex("os/image:stable", 1)
	u.forget()
	p := newProxy(t, u, rechunks, func(c *config.Config) { c.Repositories[0].Platforms = []string{"linux/amd64"} })
	p.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
	if n := u.count("GET", "/blobs/"); n != 2 {
		t.Errorf("%d blobs fetched, one image has 2", n)
	}
}

// A token service lets the proxy in; clients see nothing of it, and the content network sees no token.
func tokenAuthentication(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header.Get("Authorization"); h != "" {
			t.Errorf("the content network is shown %q", h)
		}
		u.registry.ServeHTTP(w, r)
	}))
	t.Cleanup(cdn.Close)
	u.breaks(func(w http.ResponseWriter, r *http.Request, registry http.Handler) bool {
		switch {
		case r.URL.Path == "/token":
			if user, password, _ := r.BasicAuth(); user != "robot" || password != "s3cret" {
				return status(http.StatusUnauthorized, "UNAUTHORIZED")(w, r, registry)
			}
			fmt.Fprint(w, `{"token":"let-me-in","expires_in":300}`)
			return true
		case r.Header.Get("Authorization") != "Bearer let-me-in":
			w.Header().Set("WWW-Authenticate",
				fmt.Sprintf(`Bearer realm="http://%s/token",service="x",scope="repository:os/image:pull"`, r.Host))
			return status(http.StatusUnauthorized, "UNAUTHORIZED")(w, r, registry)
		case strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(w, r, cdn.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	p := newProxy(t, u, upstreamSettings(func(s *config.Upstream) {
		s.Username, s.Password = "robot",
			config.NewSecret("s3cret")
	}))
	if err := p.pull("os/image", "stable"); err != nil {
		t.Error(err)
	}
	p = newProxy(t, u)
	a := p.get("/v2/os/image/manifests/stable")
	if a.status != http.StatusForbidden || a.code() != "DENIED" || a.header.Get("WWW-Authenticate") != "" {
		t.Errorf("without an account: %s, %v", a, a.header)
	}
}
