package pulltest

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// onBackend puts a harness on a backend that can go away.
func onBackend(backend **storetest.Outage) func(*harness) {
	return func(h *harness) {
		*backend = storetest.NewOutage(inmemory.New())
		h.driver, h.callLimit = *backend, 50*time.Millisecond
	}
}

// Without its storage a replica serves the manifests that it served before, by tag and digest. All else is told to come
// back.
func TestStorageGone(t *testing.T) {
	t.Parallel()
	for state, gone := range map[string]storetest.Backend{"refuses": storetest.Refuses, "hangs": storetest.Hangs} {
		for rule, want := range map[config.Rechunk]registry.Served{config.RechunkAuto: registry.Rechunked,
			config.RechunkNever: registry.Original} {
			t.Run(state+" "+string(want), func(t *testing.T) {
				t.Parallel()
				var backend *storetest.Outage
				h := newHarness(t, onBackend(&backend), func(h *harness) { h.rule.Rechunk = rule })
				h.up.tag("stable", bootable(t, numbered(1)).push(t, h.up))
				had := h.pull("stable", want)
				h.refresh() // an upstream that has news is asked in vain
				backend.Set(gone)
				for range 5 {
					if got := h.pull("stable", registry.Stale); !bytes.Equal(got.Bytes, had.Bytes) {
						t.Error("another manifest")
					}
				}
				if len(layers(t, had)) == 0 {
					t.Fatal("no layers")
				}
				_, err := h.Images.OpenBlob(t.Context(), testRepo, layers(t, had)[0])
				for what, e := range map[string]*registry.Error{"blob": asClientError(t, err),
					"new tag": h.pullError("other")} {
					if e.Status != http.StatusServiceUnavailable || e.RetryAfter == 0 ||
						!strings.Contains(e.Message, "storage cannot be reached") {
						t.Errorf("%s: %v", what, e)
					}
				}
			})
		}
	}
}

// A digest that was served goes on, too.
func TestStorageGoneByDigest(t *testing.T) {
	t.Parallel()
	var backend *storetest.Outage
	h := newHarness(t, onBackend(&backend))
	h.up.tag("stable", bootable(t, numbered(1)).push(t, h.up))
	d := h.pull("stable", registry.Rechunked).Digest
	h.pull(string(d), registry.Rechunked)
	backend.Set(storetest.Refuses)
	h.pull(string(d), registry.Stale)
	if e := h.pullError(digest.FromString("other").String()); e.Status != http.StatusServiceUnavailable {
		t.Error(e)
	}
}

// TestStoreCallsPerPull counts what the backend is asked for a pull of what is stored.
func TestStoreCallsPerPull(t *testing.T) {
	t.Parallel()
	type calls = map[string]int
	for title, tc := range map[string]struct {
		rule            config.Rechunk
		age             time.Duration
		manifest, again calls
	}{
		"rechunked":           {config.RechunkAuto, 0, calls{"Reader": 1}, calls{"Reader": 1}},
		"original":            {config.RechunkNever, 0, calls{"Reader": 2}, calls{"Reader": 2}},
		"rechunked, from age": {config.RechunkAuto, time.Hour, calls{"Reader": 1}, calls{}},
		"original, from age":  {config.RechunkNever, time.Hour, calls{"Reader": 1}, calls{}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			var backend *storetest.Outage
			h := newHarness(t, onBackend(&backend),
				func(h *harness) { h.rule.Rechunk, h.recordAge, h.callLimit = tc.rule, tc.age, time.Minute })
			h.up.tag("stable", bootable(t, numbered(1)).push(t, h.up))
			pull := func() *registry.Manifest {
				m, err := h.Images.Manifest(t.Context(), testRepo, name.Reference("stable"))
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
			m := pull()
			backend.Calls()
			pull()
			if got := backend.Calls(); !cmp.Equal(got, tc.manifest) {
				t.Errorf("the second pull of the tag: %v, want %v", got, tc.manifest)
			}
			pull()
			if got := backend.Calls(); !cmp.Equal(got, tc.again) {
				t.Errorf("the third pull of the tag: %v, want %v", got, tc.again)
			}
			h.blob(layers(t, m)[0])
			if tc.rule == config.RechunkNever {
				h.awaitStored(layers(t, m)[0]) // a little later than the client has it
				backend.Calls()
				h.blob(layers(t, m)[0])
			}
			if got, want := backend.Calls(), (calls{"Stat": 1, "Reader": 1}); !cmp.Equal(got, want) {
				t.Errorf("a blob: %v, want %v", got, want)
			}
		})
	}
}
