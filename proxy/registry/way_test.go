package registry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// ways say where the way leads, and count who asks.
type ways struct {
	back  bool
	asked int
	via   string // of the last who asked
}

func (w *ways) LeadsBack(ctx context.Context, _ name.Repository) bool {
	w.asked++
	w.via = registry.ViaOf(ctx)
	return w.back
}

// lateManifests have what the fake has after some time.
type lateManifests struct {
	registry.Manifests
	after time.Duration
}

func (l lateManifests) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	select {
	case <-time.After(l.after):
		return l.Manifests.Manifest(ctx, repo, ref)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lateBody comes in two parts, with a pause between them.
type lateBody struct{ pauses int }

func (l *lateBody) Read(p []byte) (int, error) {
	if l.pauses++; l.pauses > 2 {
		time.Sleep(5 * time.Second)
		return 0, http.ErrBodyReadAfterClose
	}
	return copy(p, "part"), nil
}

// What waits for a Strata that waits for this one is told so; what only takes long is not asked for more than once, and an
// answer that has begun is left alone.
func TestWaysLeadBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			what         string
			after        time.Duration
			back         bool
			status, asks int
		}{
			{"a ring", time.Hour, true, 508, 1},
			{"on a ring, but there", 0, true, 200, 0},
			{"slow", 5 * time.Second, false, 200, 1},
		} {
			backend, _, _ := newFake()
			w := &ways{back: tc.back}
			o := backend.options(nil)
			o.Self, o.Behind, o.Ways = "strata-SELF", func(host string) bool { return host == "ghcr.io" }, w
			o.Manifests = lateManifests{o.Manifests, tc.after}
			got := askAs(registry.New(o), "proxy.example", "", "/v2/"+testRepo+"/manifests/"+testTag, "1.1 strata-OTHER")
			synctest.Wait()
			if got.Code != tc.status || w.asked != tc.asks || w.via != "" {
				t.Errorf("%s: %d %s, asked %d times for %q", tc.what, got.Code, got.Body, w.asked, w.via)
			}
		}
		backend, _, blob := newFake()
		backend.grows = &lateBody{}
		o := backend.options(nil)
		w := &ways{back: true}
		o.Behind, o.Ways, o.Deltas = func(string) bool { return true }, w, backend
		r := httptest.NewRequest(http.MethodGet, deltaURL(digest.FromBytes(blob), "&seed="+seedA.String()), nil)
		got := httptest.NewRecorder()
		func() {
			defer func() { _ = recover() }() // its body breaks off in the end
			registry.New(o).ServeHTTP(got, r)
		}()
		if got.Code != http.StatusOK || got.Body.String() != "partpart" || w.asked != 0 {
			t.Errorf("%d %q, asked %d times", got.Code, got.Body, w.asked)
		}
	})
}

// The question is answered on /v2/: by one's own name, by who is behind, and no for all who are the end of the way.
func TestWay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		way, via           string
		back               bool
		status, asks, hops int
	}{
		{way: "ghcr.io/a/b", via: "1.1 strata-SELF", status: 508},
		{way: "ghcr.io/a/b", via: "1.1 strata-OTHER", status: 200, asks: 1, hops: 1},
		{way: "ghcr.io/a/b", via: "1.1 strata-OTHER", back: true, status: 508, asks: 1, hops: 1},
		{way: "quay.io/a/b", via: "1.1 strata-SELF", back: true, status: 200},
		{way: "ghcr.io/a/b", via: strings.Repeat("1.1 strata-O, ", 40), status: 508}, // nobody has so many
		{way: "..", via: "1.1 strata-OTHER", status: 400},
		{via: "1.1 strata-SELF", back: true, status: 200},
	} {
		backend, _, _ := newFake()
		w := &ways{back: tc.back}
		o := backend.options(nil)
		o.Self, o.Behind, o.Ways = "strata-SELF", func(host string) bool { return host == "ghcr.io" }, w
		got := call(registry.New(o), http.MethodGet, "/v2/", "Via", tc.via, "Strata-Way", tc.way)
		if got.Code != tc.status || w.asked != tc.asks || strings.Count(w.via, "strata-") != tc.hops {
			t.Errorf("%+v: %d %s, asked %d times for %q", tc, got.Code, got.Body, w.asked, w.via)
		}
	}
}
