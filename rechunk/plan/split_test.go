package plan

import (
	"fmt"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
)

// A component of gigabytes is cut into several layers, hardlink groups whole, unless the limit forbids.
func TestHugeComponentIsSplit(t *testing.T) {
	t.Parallel()
	all := []tree.Entry{sized("b/x.so", "1", 100*mb)}
	for i := range 300 {
		all = append(all, sized(fmt.Sprintf("a/f%03d.so", i), "1", 30*mb))
	}
	all = append(all, linked(sized("a/f000.link", "l", mb), sized("a/z.link", "l", mb))...)
	for limit, least := range map[int]int{1: 1, 2: 1, 64: 6} {
		_, l := series(t, Limits{MaxLayers: limit, MaxStale: 0.1}, build(all...))
		if len(l.Layers) < least || len(l.Layers) > limit {
			t.Errorf("%d layers of at most %d, at least %d wanted", len(l.Layers), limit, least)
		}
	}
}
