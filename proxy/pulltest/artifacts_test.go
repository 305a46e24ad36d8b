package pulltest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
)

// fewDeltas are bounds within which artifacts are made.
func fewDeltas() config.Deltas {
	return config.Deltas{CPU: 1, Memory: 256 << 20, Queue: 8, Keep: 1 << 30}
}

// referring lists what refers to a manifest.
func (h *harness) referring(d digest.Digest, artifactType string) []ocispec.Descriptor {
	h.t.Helper()
	b, _, err := h.Lists.Referrers(h.t.Context(), testRepo, d, artifactType)
	if err != nil {
		h.t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(b, &index); err != nil {
		h.t.Fatal(err)
	}
	return index.Manifests
}

// madeArtifacts waits for what a new image's artifacts are.
func (h *harness) madeArtifacts(d digest.Digest) []ocispec.Descriptor {
	h.t.Helper()
	for range 600 {
		if list := h.referring(d, ""); len(list) > 0 {
			return list
		}
		time.Sleep(50 * time.Millisecond)
	}
	h.t.Fatal("no artifact was made")
	return nil
}

// With oci_deltas, artifacts lead from the version before to the new one: they are among its referrers, can be pulled by
// digest with all that they name, and tell what the update costs. Rules of access hold for them, too.
func TestDeltaArtifacts(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(h *harness) {
		h.deltas = fewDeltas
		h.rule.OCIDeltas = config.OCIDeltas{Back: []int{1}, Images: config.DeltaServed, Format: config.DeltaTarDiff1}
		h.ruled.Store(true)
	})
	var made []digest.Digest
	var source digest.Digest
	for n := range 2 {
		h.up.tag("stable", bootable(t, numbered(n)).push(t, h.up))
		h.refresh()
		m := h.pull("stable", registry.Rechunked)
		made, source = append(made, m.Digest), m.Source
		for m.Digest == made[0] && n > 0 { // the version before is served while the new one is made
			time.Sleep(20 * time.Millisecond)
			m = h.pull("stable", registry.Rechunked)
			made[1] = m.Digest
		}
	}
	for _, target := range made[1:] {
		list := h.madeArtifacts(target)
		if len(list) != 1 || list[0].ArtifactType != ocidelta.TypeTarDiff {
			t.Fatalf("%+v", list)
		}
		m, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(list[0].Digest))
		if err != nil {
			t.Fatal(err)
		}
		a, err := ocidelta.Parse(m.Bytes)
		if err != nil || a.Target.Digest != target || a.Source != made[0] || len(a.Layers) == 0 {
			t.Fatalf("%+v, %v", a, err)
		}
		for _, l := range a.Layers {
			if n, err := h.Images.StatBlob(t.Context(), testRepo, l.Blob.Digest); err != nil || n != l.Blob.Size {
				t.Errorf("%s: %d, %v", l.Blob.Digest, n, err)
			}
		}
		costs, err := h.Updates.Update(t.Context(), a.Source.String(), target.String(), "linux/amd64", false)
		if err != nil || costs.Estimated || costs.LayersNew != len(a.Layers) || costs.DeltaBytes == 0 {
			t.Errorf("%+v, %v", costs, err)
		}
	}
	other, err := h.Images.Manifest(t.Context(), otherRepo, name.Reference(h.madeArtifacts(made[1])[0].Digest))
	if err == nil {
		t.Errorf("another repository serves the artifact: %+v", other)
	}
	// Between others nothing was made: what it would cost is an estimate.
	from, to := source.String(), testRepo.String()+"@"+made[0].String()
	costs, err := h.Updates.Update(t.Context(), from, to, "linux/amd64", false)
	if err != nil || !costs.Estimated || costs.LayerBytes == 0 || costs.DeltaBytes != costs.LayerBytes ||
		len(costs.Components) == 0 {
		t.Errorf("%+v, %v", costs, err)
	}
	// A layer that no delta pays for is sent whole.
	for _, l := range costs.Layers {
		key := catalog.DeltaKey{Seed: source, Layer: l.Digest, Variant: "0-" + strings.Repeat("0", 16)}
		err := h.Records.Deltas.Put(t.Context(), key,
			&catalog.Delta{BlobSize: l.Size, Refused: catalog.DeltaNoGain, At: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
	}
	known, err := h.Updates.Update(t.Context(), from, to, "linux/amd64", false)
	if err != nil || known.Estimated || known.DeltaBytes != known.LayerBytes || !known.Layers[0].Whole {
		t.Errorf("%+v, %v", known, err)
	}
	for range 2 { // the second answer is remembered
		what, err := h.Updates.Update(t.Context(), from, to, "linux/amd64", true)
		if err != nil || what.LayerBytes != costs.LayerBytes || what.Contents == nil || what.Contents.Packages == nil {
			t.Errorf("%+v, %v", what, err)
		}
	}
	for _, unknown := range []string{"", "x", "registry.test/org/os:none", digest.FromString("none").String()} {
		if _, err := h.Updates.Update(t.Context(), unknown, made[0].String(), "linux/amd64", false); !errors.Is(err,
			operate.ErrNotFound) {
			t.Errorf("%q: %v", unknown, err)
		}
	}
}
