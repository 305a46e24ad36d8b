package compare_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/plan"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Each layer and each component of an update says why it is sent: what changed, what only shares a layer with it, what is
// hidden.
func TestUpdateSaysWhy(t *testing.T) {
	t.Parallel()
	owned := func(name, component, body string) Item {
		return File(name, body).WithXattr("user.component", component)
	}
	big := func(c string) string { return strings.Repeat(c, 5000) }
	old := [][]Item{{Dir("."), owned("a", "A", big("a")), owned("b", "B", big("b")), owned("c", "C", big("c"))}}
	next := [][]Item{
		{Dir("."), owned("a", "A", "two"), owned("b", "B", big("b"))},  // A changed, B lies beside it
		{owned("c", "C", big("c"))},                                    // only moved
		{Dir("d")},                                                     // nothing
		{owned("e", "E", "hidden"), owned("f", "F", "old")},            // E is hidden, F too
		{owned("e", "E", "shown"), owned("f", "F", "new"), Dir("sub")}, // new ones
	}
	e := engine(t)
	out, err := compare.Update(t.Context(), inspect(t, e, old...), inspect(t, e, next...), layer.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	wantLayers := []compare.LayerBytes{
		{Reason: "changed, with 1 unchanged file", FilesChanged: 1, FilesUnchanged: 1, Because: "custom/A"},
		{Reason: "nothing in it changed: it was put together anew", FilesUnchanged: 1},
		{Reason: "directories or removals only"},
		{Reason: "nothing in it changed: it was put together anew", FilesHidden: 2},
		{Reason: "changed", FilesChanged: 2, Because: "custom/E"},
	}
	if diff := cmp.Diff(wantLayers, out.Layers,
		cmpopts.IgnoreFields(compare.LayerBytes{}, "Digest", "Size", "Name", "UnchangedBytes")); diff != "" {
		t.Error(diff)
	}
	for i, l := range out.Layers {
		if whole := l.FilesChanged == 0 && l.FilesUnchanged+l.FilesHidden > 0; whole && l.UnchangedBytes == 0 ||
			l.UnchangedBytes > l.Size {
			t.Errorf("layer %d: %d of %d bytes unchanged", i, l.UnchangedBytes, l.Size)
		}
	}
	why := map[string]string{}
	var floor int64
	for _, p := range out.Components {
		why[p.Component] = p.Why
		floor += p.FloorBytes
		if p.UnchangedBytes > p.UpdateBytes || len(p.Layers) == 0 {
			t.Errorf("%+v", p)
		}
	}
	want := map[string]string{
		"custom/A": "changed", "custom/B": "unchanged, in a layer with custom/A",
		"custom/C": "unchanged, in a layer that was put together anew", "custom/E": "changed", "custom/F": "changed",
	}
	if diff := cmp.Diff(want, why); diff != "" {
		t.Error(diff)
	}
	if floor > out.FloorBytes || floor < out.FloorBytes-5 {
		t.Errorf("components have %d of the floor's %d bytes", floor, out.FloorBytes)
	}
	// What the plan says counts.
	out.Planned(rechunk.PlanRecord{
		Layers: []rechunk.PlanLayer{{Digest: out.Layers[0].Digest, Reason: "compaction"},
			{Digest: out.Layers[1].Digest, Kept: true}},
		Dropped: []rechunk.PlanDropped{{Why: plan.WhyStale}},
	})
	if out.Layers[0].Reason != "compaction" || !strings.HasPrefix(out.Layers[1].Reason, "kept from an earlier image") ||
		len(out.Dropped) != 1 ||
		out.Layers[4].Reason != "changed" {
		t.Errorf("%+v", out.Layers)
	}
}
