package pulltest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/registry"
)

// A tag's report has its own versions only, the lineage's has those of all tags; both have what clients pulled and the
// plan said.
func TestDetails(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(h *harness) { h.rule.Family = "fleet" })
	push := func(tag string, v int) *registry.Manifest {
		h.refresh()
		h.up.tag(tag, bootable(t, numbered(v)).push(t, h.up))
		return h.pull(tag, registry.Rechunked)
	}
	first := push("stable", 1)
	push("testing", 2)
	last := push("stable", 3)
	top := layers(t, last)
	h.Tally.Layer(top[len(top)-1])
	h.Tally.Layer(top[len(top)-1])
	detail := func(name string) *operate.RepositoryDetail {
		d, err := h.View.Repository(t.Context(), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return d
	}
	for name, want := range map[string]struct{ tags, versions int }{
		testRepo.String(): {2, 3}, testRepo.String() + ":stable": {1, 2}, testRepo.String() + ":testing": {1, 1},
		"fleet": {2, 3},
	} {
		d := detail(name)
		if d.Name != name || len(d.Tags) != want.tags || len(d.History) != want.versions || d.Versions != want.versions {
			t.Errorf("%s: %d tags, %d versions: %+v", name, len(d.Tags), len(d.History), d)
		}
	}
	d := detail(testRepo.String() + ":stable")
	if d.History[0].Digest != last.Digest.String() || d.History[1].Digest != first.Digest.String() ||
		d.LayersOf != last.Digest.String() {
		t.Errorf("versions %+v", d.History)
	}
	want := operate.VersionReport{
		Sequence: 3, Reference: testRepo.String() + ":stable", LastPull: h.clock.now().Truncate(time.Second),
		Platform: "linux/amd64",
		Pulls:    operate.PullCount{Behind: []float64{2}},
	}
	sizes := cmpopts.IgnoreFields(operate.VersionReport{}, "SourceDigest", "Digest", "Created", "LayersTotal", "LayersKept",
		"LayersNew",
		"NewBytes", "TotalBytes", "StaleBytes", "Seconds")
	if diff := cmp.Diff(want, d.History[0], sizes); diff != "" {
		t.Error(diff)
	}
	l := d.Layers[len(d.Layers)-1]
	if l.Since != 3 || l.Age != 0 || l.Pulls != 2 || l.MadeAt.IsZero() || l.Heat <= 0 {
		t.Errorf("newest layer %+v", l)
	}
	if l := d.Layers[0]; l.Since != 1 || l.Age != 2 || l.Pulls != 0 || l.StaleBytes == 0 || l.StaleShare <= 0 ||
		l.StaleShare > 1 {
		t.Errorf("oldest layer %+v", l)
	}
	for _, name := range []string{"", ":", ":stable", testRepo.String() + ":none", testRepo.String() + ":", "other"} {
		if d, err := h.View.Repository(t.Context(), name); !errors.Is(err, operate.ErrNotFound) {
			t.Errorf("%q: %+v, %v", name, d, err)
		}
	}
}
