package plan

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
)

// world is a random filesystem: path → entry, hardlink groups by number.
type world struct {
	r      *rand.Rand
	nodes  map[string]tree.Entry
	groups map[string]int
	next   int
}

var names = [...]string{"a", "b", "c", "lib.so", "volatile", "-x", "d.txt"}

func newWorld(seed uint64) *world {
	return &world{r: rand.New(rand.NewPCG(seed, 7)), nodes: map[string]tree.Entry{}, groups: map[string]int{}}
}

// path is a random path up to four levels deep.
func (w *world) path() string {
	parts := make([]string, 1+w.r.IntN(4))
	for i := range parts {
		parts[i] = names[w.r.IntN(len(names))]
	}
	return strings.Join(parts, "/")
}

func (w *world) some() string {
	keys := make([]string, 0, len(w.nodes))
	for k := range w.nodes {
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return w.path()
	}
	slices.Sort(keys)
	return keys[w.r.IntN(len(keys))]
}

func (w *world) remove(p string) {
	for k := range w.nodes {
		if tree.Within(k, p) {
			delete(w.nodes, k)
			delete(w.groups, k)
		}
	}
}

// put makes room for an entry: no ancestor may be other than a directory, and nothing may lie below a non-directory.
func (w *world) put(e tree.Entry) {
	for p := tree.Parent(e.Path); p != "."; p = tree.Parent(p) {
		if n, ok := w.nodes[p]; ok && n.Kind != tree.Dir {
			w.remove(p)
		}
	}
	if e.Kind != tree.Dir {
		w.remove(e.Path)
	}
	delete(w.groups, e.Path)
	w.nodes[e.Path] = e
}

func (w *world) random(p string) tree.Entry {
	switch w.r.IntN(8) {
	case 0:
		return dir(p)
	case 1:
		return symlink(p, names[w.r.IntN(len(names))])
	}
	size := int64(w.r.IntN(3)) << w.r.IntN(24)
	return sized(p, fmt.Sprint(w.r.IntN(50)), size)
}

func (w *world) edit() {
	p := w.some()
	switch w.r.IntN(12) {
	case 0, 1, 2:
		w.put(w.random(w.path()))
	case 3:
		w.remove(p)
	case 4, 5:
		w.put(w.random(p))
	case 6:
		if e, ok := w.nodes[p]; ok {
			e.Mode ^= 0o100
			w.each(p, func(n *tree.Entry) { n.Mode = e.Mode })
		}
	case 7, 8:
		w.link(p)
	case 9:
		delete(w.groups, p)
	case 10:
		w.rename(p, w.path())
	case 11:
		if e, ok := w.nodes[p]; ok {
			w.each(p, func(n *tree.Entry) { n.Sec = e.Sec + 1 })
		}
	}
}

// each edits an entry and all that share its inode.
func (w *world) each(p string, edit func(*tree.Entry)) {
	g, isLinked := w.groups[p]
	for k, e := range w.nodes {
		if other, ok := w.groups[k]; k == p || isLinked && ok && other == g {
			edit(&e)
			w.nodes[k] = e
		}
	}
}

func (w *world) link(p string) {
	e, ok := w.nodes[p]
	if !ok || e.Kind == tree.Dir {
		return
	}
	q := w.path()
	if tree.Within(p, q) || tree.Within(q, p) {
		return
	}
	g, isLinked := w.groups[p]
	if !isLinked {
		w.next++
		g = w.next
	}
	e.Path = q
	w.put(e)
	if _, ok := w.nodes[p]; ok {
		w.groups[p], w.groups[q] = g, g
	}
}

func (w *world) rename(from, to string) {
	if tree.Within(to, from) || tree.Within(from, to) {
		return
	}
	var moved []tree.Entry
	groups := map[string]int{}
	for k, e := range w.nodes {
		if tree.Within(k, from) {
			e.Path = to + strings.TrimPrefix(k, from)
			moved = append(moved, e)
			if g, ok := w.groups[k]; ok {
				groups[e.Path] = g
			}
		}
	}
	w.remove(from)
	w.remove(to)
	slices.SortFunc(moved, func(a, b tree.Entry) int { return tree.ComparePaths(a.Path, b.Path) })
	for _, e := range moved {
		w.put(e)
		if g, ok := groups[e.Path]; ok {
			w.groups[e.Path] = g
		}
	}
}

// variant is the tree of one of several variants: all but the first have files of their own, and each lacks some.
func (w *world) variant(n int) *tree.Tree {
	t := w.tree()
	if n == 0 {
		return t
	}
	var entries []tree.Entry
	for i, e := range t.Entries {
		if e.Kind == tree.Dir || e.Link != "" || i%7 != n {
			entries = append(entries, e)
		}
	}
	for i := range 5 {
		entries = append(entries, sized(fmt.Sprintf("own%d/%d.so", n, i), fmt.Sprint(w.r.IntN(3)), int64(w.r.IntN(3))<<18))
	}
	return build(entries...)
}

func (w *world) tree() *tree.Tree {
	first := map[int]string{}
	count := map[int]int{}
	for k := range w.nodes {
		if g, ok := w.groups[k]; ok {
			count[g]++
			if f, ok := first[g]; !ok || k < f {
				first[g] = k
			}
		}
	}
	var entries []tree.Entry
	for k, e := range w.nodes {
		e.Link = ""
		if g, ok := w.groups[k]; ok && count[g] > 1 {
			e.Link = first[g]
		}
		entries = append(entries, e)
	}
	return build(entries...)
}

func TestRandomSeries(t *testing.T) {
	t.Parallel()
	seeds := uint64(150)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			runSeries(t, seed)
		})
	}
}

func runSeries(t *testing.T, seed uint64) {
	w := newWorld(seed)
	for range 5 + w.r.IntN(200) {
		w.put(w.random(w.path()))
	}
	lim := Limits{MaxLayers: 1 + w.r.IntN(6), MaxStale: w.r.Float64() / 2, ExactTime: w.r.IntN(5) == 0}
	if w.r.IntN(2) == 0 {
		lim.MaxLayers = 1 + w.r.IntN(200)
	}
	if w.r.IntN(6) == 0 {
		lim.MaxStale = 0
	}
	if seed%3 == 0 {
		lim.LayerCost = 1 << (seed % 30)
	}
	variants := 1 + w.r.IntN(3)
	var lineage []Image
	for version := range 20 {
		for range w.r.IntN(25) {
			w.edit()
		}
		variant := w.r.IntN(variants)
		tr := w.variant(variant)
		in := Input{Tree: tr, Owners: owners(tr), Lineage: lineage, Series: fmt.Sprint(variant), Limits: lim}
		l, err := Make(in)
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		if err := Check(in, l); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		img := served(t, in, l)
		if got := apply(img); !slices.EqualFunc(tr.Entries, got, equal(lim.ExactTime)) {
			t.Fatalf("version %d: the served image is another tree:\n%s", version, cmp.Diff(tr.Entries, got))
		}
		again, err := Make(in)
		if err != nil || !cmp.Equal(l, again) {
			t.Fatalf("version %d: two plans of the same input differ: %v %s", version, err, cmp.Diff(l, again))
		}
		img.Series = in.Series
		noop := Input{Tree: tr, Owners: in.Owners, Lineage: append([]Image{img}, lineage...), Series: in.Series, Limits: lim}
		same, err := Make(noop)
		if err != nil {
			t.Fatal(err)
		}
		if hasNew(same) {
			t.Fatalf("version %d: an unchanged tree gets new layers: %v", version, same.Notes)
		}
		lineage = append([]Image{img}, lineage...)
		lineage = lineage[:min(len(lineage), 5)]
	}
}

// equal is the comparison of entries with or without their modification times.
func equal(exact bool) func(a, b tree.Entry) bool {
	return func(a, b tree.Entry) bool { return a.Same(&b) && a.Link == b.Link && (!exact || a.SameTime(&b)) }
}

// hasNew reports whether a layout has a new layer.
func hasNew(l *Layout) bool {
	return slices.ContainsFunc(l.Layers, func(l Layer) bool { return l.Kept == "" })
}

func TestCoresDoNotMatter(t *testing.T) {
	w := newWorld(99)
	for range 300 {
		w.put(w.random(w.path()))
	}
	first := w.tree()
	for range 40 {
		w.edit()
	}
	plan := func() *Layout {
		_, l := series(t, Limits{MaxLayers: 16, MaxStale: 0.1}, first, w.tree())
		return l
	}
	want := plan()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if diff := cmp.Diff(want, plan()); diff != "" {
		t.Error(diff)
	}
}
