package registry_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
)

func TestListing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, body, link string
	}{
		{path: "/v2/ghcr.io/a/tags/list", body: `{"name":"ghcr.io/a","tags":["41","42","stable","testing"]}`},
		{path: "/v2/ghcr.io/a/tags/list?n=2", body: `{"name":"ghcr.io/a","tags":["41","42"]}`,
			link: `</v2/ghcr.io/a/tags/list?last=42&n=2>; rel="next"`},
		{path: "/v2/ghcr.io/a/tags/list?n=2&last=42", body: `{"name":"ghcr.io/a","tags":["stable","testing"]}`},
		{path: "/v2/ghcr.io/a/tags/list?n=4", body: `{"name":"ghcr.io/a","tags":["41","42","stable","testing"]}`},
		{path: "/v2/ghcr.io/a/tags/list?last=5", body: `{"name":"ghcr.io/a","tags":["stable","testing"]}`},
		{path: "/v2/ghcr.io/a/tags/list?last=zz", body: `{"name":"ghcr.io/a","tags":[]}`},
		{path: "/v2/ghcr.io/a/tags/list?n=0", body: `{"name":"ghcr.io/a","tags":[]}`},
		{path: "/v2/a/tags/list?n=1&ns=ghcr.io", body: `{"name":"a","tags":["41"]}`,
			link: `</v2/a/tags/list?last=41&n=1&ns=ghcr.io>; rel="next"`},
		{path: "/v2/_catalog?n=1&last=ghcr.io%2Fa%2Fb", body: `{"repositories":["ghcr.io/ublue-os/bluefin"]}`,
			link: `</v2/_catalog?last=ghcr.io%2Fublue-os%2Fbluefin&n=1>; rel="next"`},
	} {
		backend, _, _ := newFake()
		w := call(backend.handler(), http.MethodGet, c.path)
		if diff := cmp.Diff([]string{c.body, c.link}, []string{w.Body.String(), w.Header().Get("Link")}); diff != "" {
			t.Errorf("%s: %s", c.path, diff)
		}
	}
}

// TestListingBounds checks that no page is longer than the registry allows, or than was asked for, whatever the backend
// gives.
func TestListingBounds(t *testing.T) {
	t.Parallel()
	backend, _, _ := newFake()
	o := backend.options(nil)
	o.MaxPage = 3
	h := registry.New(o)
	for path, want := range map[string]string{
		"/v2/ghcr.io/a/tags/list":      `</v2/ghcr.io/a/tags/list?last=stable>; rel="next"`,
		"/v2/ghcr.io/a/tags/list?n=50": `</v2/ghcr.io/a/tags/list?last=stable&n=3>; rel="next"`,
	} {
		w := call(h, http.MethodGet, path)
		if got := w.Header().Get("Link"); got != want ||
			w.Body.String() != `{"name":"ghcr.io/a","tags":["41","42","stable"]}` {
			t.Errorf("%s: %s, Link %q", path, w.Body, got)
		}
	}
	o.Listings, o.Referrers = nil, nil
	h = registry.New(o)
	for _, path := range []string{"ghcr.io/a/tags/list", "_catalog", "ghcr.io/a/referrers/sha256:x"} {
		if w := call(h, http.MethodGet, "/v2/"+path); w.Code != http.StatusNotFound {
			t.Errorf("%s of a registry without it: %d", path, w.Code)
		}
	}
}

// TestNames checks which repository the backend is asked for.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, upstream string
		want           name.Repository
		status         int
	}{
		{path: "/v2/ghcr.io/a/b/manifests/stable", want: nametest.Repository("ghcr.io/a/b"), status: 200},
		{path: "/v2/a/b/manifests/stable?ns=ghcr.io", want: nametest.Repository("ghcr.io/a/b"), status: 200},
		{path: "/v2/a/b/manifests/stable?ns=ghcr.io&ns=ghcr.io", want: nametest.Repository("ghcr.io/a/b"), status: 200},
		{path: "/v2/a/b/manifests/stable?ns=", upstream: "quay.io", want: nametest.Repository("quay.io/a/b"), status: 200},
		{path: "/v2/alpine/manifests/stable?ns=docker.io", want: nametest.Repository("docker.io/library/alpine"),
			status: 200},
		{path: "/v2/localhost%3A5000/a/manifests/stable", want: nametest.Repository("localhost:5000/a"), status: 200},
		{path: "/v2/q.io/tags/list/manifests/stable", want: nametest.Repository("q.io/tags/list"), status: 200},
		{path: "/v2/a/b/manifests/stable", status: 404},
		{path: "/v2/a/b/manifests/stable?ns=ghcr.io&ns=quay.io", status: 400},
	} {
		backend, _, _ := newFake()
		o := backend.options(nil)
		o.Names = name.Parser{DefaultUpstream: c.upstream}
		w := call(registry.New(o), http.MethodGet, c.path)
		if backend.repo != c.want || w.Code != c.status {
			t.Errorf("%s: status %d, want %d: %v", c.path, w.Code, c.status, backend.repo)
		}
	}
}

// A list is asked for in one way: what is there twice is no page.
func TestListingTwice(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"?n=1&n=2", "?last=a&last=b", "?n=", "?n=-1", "?n=1&n="} {
		for _, path := range []string{"/v2/ghcr.io/a/tags/list", "/v2/_catalog"} {
			backend, _, _ := newFake()
			if w := call(backend.handler(), http.MethodGet, path+query); w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", path+query, w.Code, w.Body)
			}
		}
	}
}
