package compare_test

import (
	"testing"

	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// The bytes of components add up to those of the update, of random images, whatever their layers cost and however they are
// sent: what is no file's has a component of its own.
func TestComponentsAddUp(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := NewRandom(seed)
		base := r.Tree(30)
		edited := r.Edit(base, 10)
		before, after := r.Layer(&tree.Tree{}, base), r.Layer(base, edited)
		e := engine(t)
		next := inspect(t, e, before, after)
		old := inspect(t, e, before)
		tally := compare.NewDeltaTally(old, next, "strata")
		for i, l := range next.Image.Manifest.Layers {
			of := compare.DeltaLayer{Digest: l.Digest, Size: l.Size, DeltaBytes: l.Size / int64(seed+1), Whole: seed == 0}
			if i == 0 {
				tally.AddEstimated(of, next.Layers[i])
				continue
			}
			report := delta.Report{Size: of.DeltaBytes, TarSize: next.Layers[i].TarSize, BlobSize: l.Size}
			for _, f := range next.Layers[i].Entries {
				if f.Kind == tree.Regular && f.Link == "" {
					report.Items = append(report.Items, delta.Item{Path: f.Path, Size: f.Size, How: delta.Whole, Bytes: 1})
				}
			}
			tally.Add(of, report)
		}
		out := tally.Sum()
		var layers, deltas int64
		framed := false
		for _, p := range out.Components {
			layers, deltas = layers+p.LayerBytes, deltas+p.DeltaBytes
			framed = framed || p.Component == compare.Framing && p.Files == 0 && p.LayerBytes > 0
		}
		if layers != out.LayerBytes || deltas != out.DeltaBytes || !framed {
			t.Errorf("seed %d: components have %d of %d and %d of %d: %+v", seed, layers, out.LayerBytes, deltas,
				out.DeltaBytes, out.Components)
		}
	}
}
