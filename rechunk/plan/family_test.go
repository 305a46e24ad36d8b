package plan

import (
	"fmt"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
)

// sibling is a variant of a family: shared packages, some of which each version changes, and packages of its own.
func sibling(name string, version, shared, own int) *tree.Tree {
	var all []tree.Entry
	for i := range shared {
		v := 0
		if i%10 == version%10 {
			v = version
		}
		all = append(all, sized(fmt.Sprintf("s%03d/x.so", i), fmt.Sprint(v), 2*mb),
			sized(fmt.Sprintf("s%03d/d.dat", i), "1", mb))
	}
	for i := range own {
		all = append(all, sized(fmt.Sprintf("%s%03d/x.so", name, i), "1", 2*mb))
	}
	return build(all...)
}

// again returns what new layers hold that the image shows already.
func again(in Input, l *Layout, img *tree.Tree) (n int64) {
	for _, layer := range l.Layers {
		for _, i := range layer.Entries {
			e := &in.Tree.Entries[i]
			if was := img.Lookup(e.Path); e.Kind != tree.Dir && was != nil && was.Same(e) {
				n += weigh(e, true)
			}
		}
	}
	return n
}

// turns is a family that is served in turn: the images so far, newest first, and what was observed.
type turns struct {
	lineage []Image
	history *History
}

// next plans and serves the next image of a series.
func (f *turns) next(t *testing.T, tr *tree.Tree, series string, lim Limits) (Input, *Layout) {
	t.Helper()
	in := Input{Tree: tr, Owners: owners(tr), Lineage: f.lineage, Series: series, Limits: lim, History: f.history}
	l := mustMake(t, in)
	img := served(t, in, l)
	img.Series = series
	f.lineage, f.history = append([]Image{img}, f.lineage...), l.History
	f.lineage = f.lineage[:min(len(f.lineage), 8)]
	return in, l
}

// A variant that is served after its sibling shares what they share, whichever has more, within what max_stale asks for.
func TestSiblingsShare(t *testing.T) {
	t.Parallel()
	plain := func(v int) *tree.Tree { return sibling("none", v, 100, 0) }
	more := func(v int) *tree.Tree { return sibling("dx", v, 100, 40) }
	for name, order := range map[string][2]func(int) *tree.Tree{"more after plain": {plain, more},
		"plain after more": {more, plain}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, l := series(t, Limits{MaxLayers: 120, MaxStale: 0.1}, order[0](1), order[1](1))
			var all int64
			for i := range in.Tree.Entries {
				all += weigh(&in.Tree.Entries[i], true)
			}
			if n := again(in, l, order[0](1)); n > all/50 {
				t.Errorf("%d of %d bytes are fetched again", n, all)
				for _, x := range l.Layers {
					t.Logf("kept %t %d %d %s", x.Kept != "", x.Bytes, x.StaleBytes, x.Name)
				}
			}
		})
	}
}

// Variants in turn build on the image that leaves least to write, which is not the newest.
func TestSiblingsInTurn(t *testing.T) {
	t.Parallel()
	var f turns
	for n := range 12 {
		name, own := []string{"plain", "dx", "nvidia"}[n%3], []int{0, 40, 30}[n%3]
		_, l := f.next(t, sibling(name, n/3, 100, own), name, Limits{MaxLayers: 120, MaxStale: 0.1})
		if n >= 3 {
			var fresh int64
			for _, layer := range l.Layers {
				if layer.Kept == "" {
					fresh += layer.Bytes
				}
			}
			if all := int64(100*3+own*2) * mb * 38 / 100; fresh > all/5 {
				t.Errorf("version %d of %s: %d of %d bytes are new: %v", n/3, name, fresh, all, l.Notes)
			}
		}
	}
}

// What a version changes in all variants is made into layers once, whichever variant comes first, and the others borrow
// these, as far as they need not make room or reclaim what is stale.
func TestSiblingsShareUpdates(t *testing.T) {
	t.Parallel()
	plain := func(v int) *tree.Tree { return sibling("none", v, 100, 0) }
	more := func(v int) *tree.Tree { return sibling("dx", v, 100, 40) }
	for name, order := range map[string][2]func(int) *tree.Tree{"more after plain": {plain, more},
		"plain after more": {more, plain}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f turns
			for n := range 8 {
				in, l := f.next(t, order[n%2](1+n/2), fmt.Sprint(n%2), Limits{MaxLayers: 300, MaxStale: 0.25})
				if n > 2 && n%2 == 1 {
					if fresh := again(in, l, order[0](1+n/2)); fresh > 0 {
						t.Errorf("version %d: %d bytes that the sibling has are written again: %v", 1+n/2, fresh, l.Notes)
					}
				}
			}
		})
	}
}
