package plan

import (
	"fmt"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
)

// packages is a system of many packages; in each version one of them changes, every one at its time.
func packages(version int) *tree.Tree {
	var entries []tree.Entry
	for pkg := range 40 {
		updates := (version + pkg) / 40
		entries = append(entries, sized(fmt.Sprintf("p%02d/program", pkg), fmt.Sprint(pkg, updates), 4*mb))
	}
	return build(entries...)
}

func layersAfter(t *testing.T, cost int64, versions int) (layers int, written int64) {
	t.Helper()
	lim := Limits{MaxLayers: 120, MaxStale: 0.1, LayerCost: cost}
	_, l := lived(t, lim, versions, func(n int) *tree.Tree {
		return packages(n)
	})
	for _, layer := range l.Layers {
		if layer.Kept == "" {
			written += layer.Bytes
		}
	}
	return len(l.Layers), written
}

// The dearer a layer, the fewer there are, in a first version and after many; what is written again for that stays below
// what it spares.
func TestLayerCost(t *testing.T) {
	t.Parallel()
	for _, versions := range []int{1, 30} {
		before := 1 << 20
		for _, cost := range []int64{0, 256 << 10, 1 << 20, 4 << 20, 1 << 40} {
			layers, written := layersAfter(t, cost, versions)
			t.Logf("%d versions at %d: %d layers, %d bytes written", versions, cost, layers, written)
			if layers > before {
				t.Errorf("after %d versions at %d a layer there are %d, of cheaper ones %d", versions, cost, layers, before)
			}
			before = layers
		}
	}
}
