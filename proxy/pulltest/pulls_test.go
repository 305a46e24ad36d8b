package pulltest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// counted puts the protocol in front of the service, and has what clients fetch counted as the server does.
func (h *harness) counted(t *testing.T) (base string) {
	handler := registry.New(registry.Options{Manifests: h.Images, Blobs: h.Images})
	srv := httptest.NewServer(registry.AccessLog(handler, nil, func(q registry.Request) {
		if q.ToEnd {
			h.Tally.Layer(q.Digest)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/v2/" + testRepo.String()
}

func get(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
}

// What clients lack of an image tells how far behind they are, also after a restart.
func TestPullsTellLags(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	base := h.counted(t)
	var chain []pulls.Image // newest first
	img := bootable(t, "first")
	for v := range 3 {
		h.refresh()
		img.layers = append(img.layers, layerOf(t, treetest.Dir("usr"), treetest.File("usr/"+fmt.Sprint(v), numbered(v))))
		h.up.tag("stable", img.push(t, h.up))
		m := h.pull("stable", registry.Rechunked)
		chain = slices.Insert(chain, 0, pulls.Image{Manifest: m.Digest, Layers: layers(t, m)})
	}
	update := func(from []digest.Digest, times int) {
		for range times {
			get(t, base+"/manifests/stable")
			for _, l := range chain[0].Layers {
				if !slices.Contains(from, l) {
					get(t, base+"/blobs/"+l.String())
				}
			}
		}
	}
	update(chain[1].Layers, 5)
	update(chain[2].Layers, 2)
	h.restart()
	base = h.counted(t)
	update(chain[1].Layers, 1)
	update(nil, 3)
	counts, err := h.Tally.Counts(t.Context(), chain[0].Manifest)
	if err != nil {
		t.Fatal(err)
	}
	want := pulls.Lags{Fresh: 3, Behind: [pulls.MaxLag]float64{6, 2}}
	if diff := cmp.Diff(want, pulls.Observe(chain, counts)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !counts.Last.Equal(h.clock.now()) {
		t.Errorf("last pull at %s, now is %s", counts.Last, h.clock.now())
	}
}

// What clients pulled reaches the plan of the next version, in the terms of its record.
func TestPullsReachThePlan(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	planned := func(v int) plan.Demand {
		h.refresh()
		h.up.tag("stable", bootable(t, numbered(v)).push(t, h.up))
		m := h.pull("stable", registry.Rechunked)
		rec, err := h.Records.Plans.Get(t.Context(), m.Digest)
		if rec == nil || err != nil {
			t.Fatalf("plan record: %v", err)
		}
		return rec.Demand
	}
	for v := range 2 {
		if diff := cmp.Diff(plan.DefaultDemand(), planned(v)); diff != "" {
			t.Errorf("before there are pulls: %s", diff)
		}
	}
	m := h.pull("stable", registry.Rechunked)
	l := layers(t, m)
	for i := range 30 {
		h.Tally.Layer(l[len(l)-1]) // what is new lies on top
		if i < 10 {
			h.Tally.Layer(l[0])
		}
	}
	if diff := cmp.Diff(plan.Demand{Lags: []float64{1}, Fresh: 0.5}, planned(2)); diff != "" {
		t.Errorf("10 fresh installs, 20 updates: %s", diff)
	}
}

// The original of an image, and one that is served as it is, have a time of their last pull, too.
func TestPullsOfOriginals(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	d := bootable(t, "1").push(t, h.up)
	h.up.tag("stable", d)
	h.pull("stable", registry.Rechunked)
	before, err := h.Tally.LastPull(t.Context(), d)
	if err != nil || !before.IsZero() {
		t.Errorf("the source was last pulled at %s, %v", before, err)
	}
	h.clock.advance(time.Hour)
	h.pull(d.String(), registry.Original)
	if err := h.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	stored, err := pulls.NewRecorded(catalog.New(h.chunks, nil).Pulls).Get(t.Context(), d)
	if err != nil || !stored.Last.Equal(h.clock.now()) || stored.Layers != nil {
		t.Errorf("%+v, %v", stored, err)
	}
}
