package rechunk

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/plan"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// The tree that a run has is never changed under who else has it.
func TestKeepTimesLeavesItsTree(t *testing.T) {
	t.Parallel()
	later := time.Unix(1_800_000_000, 0)
	items := []Item{Dir("."), File("a", "x").WithTime(later), Hardlink("b", "a"), File("c", "new").WithTime(later)}
	given := Tree(t, items)
	images := []plan.Image{{Layers: []plan.Prior{{Digest: "sha256:1", Index: Index(t, Dir("."), File("a", "x"))}}}}
	got := keepTimes(given, images)
	if d := cmp.Diff(Tree(t, items), given); d != "" {
		t.Errorf("the tree that was given changed:\n%s", d)
	}
	for path, kept := range map[string]bool{"a": true, "b": true, "c": false} {
		if (got.Lookup(path).Sec != later.Unix()) != kept {
			t.Errorf("%s has the time %d", path, got.Lookup(path).Sec)
		}
	}
}
