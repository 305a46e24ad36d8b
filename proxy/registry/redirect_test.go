package registry_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

type redirects struct{ url string }

func (x redirects) BlobURL(*http.Request, name.Repository, digest.Digest) (string, registry.Origin) {
	return x.url, registry.MadeHere
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	const signed = "https://s3.test/blob?signature=x"
	for _, c := range []struct {
		name, method, url, ranges string
		status, opened            int
		toEnd                     bool
	}{
		{"GET", "GET", signed, "", http.StatusTemporaryRedirect, 0, true},
		{"part", "GET", signed, "bytes=5-", http.StatusTemporaryRedirect, 0, false},
		{"HEAD", "HEAD", signed, "", http.StatusOK, 0, false},
		{"no URL", "GET", "", "", http.StatusOK, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, _, blob := newFake()
			var seen registry.Request
			h := registry.AccessLog(registry.New(registry.Options{Manifests: f, Blobs: f, Redirects: redirects{c.url}}), nil,
				func(q registry.Request) { seen = q })
			r := httptest.NewRequest(c.method, "/v2/"+testRepo+"/blobs/"+digest.FromBytes(blob).String(), nil)
			if c.ranges != "" {
				r.Header.Set("Range", c.ranges)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status || f.opened != c.opened || seen.ToEnd != c.toEnd {
				t.Errorf("status %d, opened %d, to end %t; want %d, %d, %t", w.Code, f.opened, seen.ToEnd, c.status,
					c.opened, c.toEnd)
			}
			if got := w.Header().Get("Location"); c.status == http.StatusTemporaryRedirect &&
				(got != c.url || seen.Origin != registry.MadeHere) {
				t.Errorf("location %q, origin %s", got, seen.Origin)
			}
		})
	}
}
