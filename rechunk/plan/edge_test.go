package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

func TestShapes(t *testing.T) {
	t.Parallel()
	var wide []tree.Entry
	for i := range 100_000 {
		wide = append(wide, file(fmt.Sprintf("d/%06d", i), "x"))
	}
	tests := []struct {
		name    string
		tree    *tree.Tree
		atMost  int
		atLeast int
	}{
		{"no entries", &tree.Tree{}, 1, 1},
		{"only the root", build(), 1, 1},
		{"one file", build(file("a", "1")), 1, 1},
		{"empty directories", build(dir("a/b"), dir("c")), 1, 1},
		{"one wide directory", build(wide...), 2, 1},
		{"one component of 3 GB", build(sized("a/big.so", "1", 3<<30), file("b/x", "1")), 2, 1},
		{"small image", build(manyFiles(60, mb)...), 48, 20},
		{"large image", build(manyFiles(200, 30*mb)...), 48, 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in, l := series(t, Limits{MaxLayers: 64, MaxStale: 0.1}, test.tree)
			if len(l.Layers) > test.atMost || len(l.Layers) < test.atLeast {
				t.Errorf("%d layers, want %d to %d", len(l.Layers), test.atLeast, test.atMost)
			}
			in.Lineage = []Image{served(t, in, l)}
			if again := mustMake(t, in); hasNew(again) {
				t.Errorf("planned again, it is not kept: %v", again.Notes)
			}
			empty := Input{Tree: &tree.Tree{}, Owners: &pkgdb.Owners{}, Lineage: in.Lineage, Limits: in.Limits}
			mustMake(t, empty)
		})
	}
}

// manyFiles are n programs of the given size, each of a package of its own.
func manyFiles(n int, size int64) []tree.Entry {
	var all []tree.Entry
	for i := range n {
		all = append(all, sized(fmt.Sprintf("p%03d/x.so", i), "1", size))
	}
	return all
}

func TestErrors(t *testing.T) {
	t.Parallel()
	good := build(file("a/x", "1"))
	limits := Limits{MaxLayers: 4, MaxStale: 0.1}
	tests := []struct {
		name string
		in   Input
		want error
	}{
		{"no layers", Input{Tree: good, Owners: owners(good), Limits: Limits{}}, ErrLimits},
		{"stale above one", Input{Tree: good, Owners: owners(good), Limits: Limits{MaxLayers: 1, MaxStale: 1.5}}, ErrLimits},
		{"stale below zero", Input{Tree: good, Owners: owners(good), Limits: Limits{MaxLayers: 1, MaxStale: -1}}, ErrLimits},
		{"cost below zero", Input{Tree: good, Owners: owners(good), Limits: Limits{MaxLayers: 1, LayerCost: -1}}, ErrLimits},
		{"no tree", Input{Owners: owners(good), Limits: limits}, ErrInput},
		{"no owners", Input{Tree: good, Limits: limits}, ErrInput},
		{"owners of another tree", Input{Tree: good, Owners: &pkgdb.Owners{}, Limits: limits}, ErrInput},
		{"owner out of range", Input{Tree: good, Owners: &pkgdb.Owners{Of: []int32{0, 0, 7}}, Limits: limits}, ErrInput},
		{"unsorted", shuffled(file("b", ""), file("a", "")), ErrInput},
		{"no parent", shuffled(dir("."), file("a/b", "")), ErrInput},
		{"parent is a file", shuffled(dir("."), file("a", ""), file("a/b", "")), ErrInput},
		{"path not clean", shuffled(dir("."), file("a/../b", "")), ErrInput},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Make(test.in); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// shuffled is an input whose tree has the entries as they come.
func shuffled(entries ...tree.Entry) Input {
	o := &pkgdb.Owners{Components: []pkgdb.Component{{ID: "rest", Kind: pkgdb.Rest}}, Of: make([]int32, len(entries))}
	return Input{Tree: &tree.Tree{Entries: entries}, Owners: o, Limits: Limits{MaxLayers: 4}}
}

func TestUnusableLineage(t *testing.T) {
	t.Parallel()
	tr := build(ballast(file("a/x", "1"))...)
	spoilers := map[string]func(img *Image){
		"no layers":     func(img *Image) { img.Layers = nil },
		"no index":      func(img *Image) { img.Layers[0].Index = nil },
		"no digest":     func(img *Image) { img.Layers[0].Digest = "" },
		"opaque":        func(img *Image) { img.Layers[0].Index.Opaque = []string{"a"} },
		"links":         func(img *Image) { img.Layers[0].Index.Links = []tree.Link{{Path: "q", Target: "a/x"}} },
		"root whiteout": func(img *Image) { img.Layers[0].Index.Whiteouts = []string{"."} },
		"twice":         func(img *Image) { img.Layers[1] = img.Layers[0] },
		"unsorted":      func(img *Image) { e := img.Layers[0].Index.Entries; e[0], e[1] = e[1], e[0] },
		"conflict": func(img *Image) {
			img.Layers[1].Index.Entries = append(img.Layers[1].Index.Entries, dir("z"))
			img.Layers[0].Index.Entries = append(img.Layers[0].Index.Entries, file("z", "1"))
		},
	}
	for name, spoil := range spoilers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := Input{Tree: tr, Owners: owners(tr), Limits: loose}
			img := served(t, in, mustMake(t, in))
			spoil(&img)
			in.Lineage = []Image{img}
			l := mustMake(t, in)
			if l.Base != -1 || !strings.Contains(strings.Join(l.Notes, "\n"), "passed over") {
				t.Errorf("base %d, notes %q", l.Base, l.Notes)
			}
		})
	}
}

// A layer without the ancestors of what it holds is not kept, as clients would make them up.
func TestLayerWithoutParents(t *testing.T) {
	t.Parallel()
	tr := build(file("a/x", "1"))
	in := Input{Tree: tr, Owners: owners(tr), Limits: loose}
	bare := Prior{Digest: digest.FromString("bare"), Size: 100, Index: &tree.Index{Entries: []tree.Entry{file("a/x", "1")}}}
	in.Lineage = []Image{{Layers: []Prior{bare}}}
	if l := mustMake(t, in); l.Base != -1 || !hasNew(l) {
		t.Errorf("a layer without parents is kept: %+v", l)
	}
}

func TestBaseIsTheNearestVariant(t *testing.T) {
	t.Parallel()
	plain := build(manyFiles(8, 20*mb)...)
	other := build(append(manyFiles(8, 21*mb), file("x/dx", "1"))...)
	next := build(append(manyFiles(8, 20*mb), file("x/new", "1"))...)
	image := func(tr *tree.Tree) Image {
		in := Input{Tree: tr, Owners: owners(tr), Limits: loose}
		return served(t, in, mustMake(t, in))
	}
	for _, test := range []struct {
		lineage []Image
		want    int
	}{
		{[]Image{image(plain), image(other)}, 0},
		{[]Image{image(other), image(plain)}, 1},
		{[]Image{image(plain), image(plain)}, 0},
		{[]Image{image(build(file("q/q", "1")))}, -1},
	} {
		l := mustMake(t, Input{Tree: next, Owners: owners(next), Lineage: test.lineage, Limits: loose})
		if l.Base != test.want {
			t.Errorf("base %d, want %d: %v", l.Base, test.want, l.Notes)
		}
	}
}

func TestKindsLieApart(t *testing.T) {
	t.Parallel()
	tr := build(append(manyFiles(30, 10*mb), sized("k/vmlinuz", "1", 12*mb), sized("i/initramfs.img", "1", 70*mb),
		sized("volatile/rpmdb.sqlite", "1", 60*mb))...)
	o := owners(tr)
	for c := range o.Components {
		switch o.Components[c].ID {
		case "rpm/k":
			o.Components[c].Kind = pkgdb.Kernel
		case "rpm/i":
			o.Components[c].Kind = pkgdb.Initramfs
		}
	}
	l := mustMake(t, Input{Tree: tr, Owners: o, Limits: Limits{MaxLayers: 32, MaxStale: 0.1}})
	for _, layer := range l.Layers {
		domains := map[domain]bool{}
		for _, i := range layer.Entries {
			domains[domainOf(o.Components[o.Of[i]].Kind)] = true
		}
		if len(domains) != 1 {
			t.Errorf("layer %q mixes %v", layer.Name, domains)
		}
	}
	one := mustMake(t, Input{Tree: tr, Owners: o, Limits: Limits{MaxLayers: 1}})
	if len(one.Layers) != 1 {
		t.Errorf("%d layers where one is allowed", len(one.Layers))
	}
}

// A bound on stale bytes that an update breaks is met by rewriting.
func TestStaleIsBounded(t *testing.T) {
	t.Parallel()
	first, second := manyFiles(10, 4*mb), manyFiles(10, 4*mb)
	for i := range first {
		first[i].Path = strings.Replace(first[i].Path, "p00", "p/", 1)
		second[i].Path = first[i].Path
	}
	for i := range 5 {
		second[i] = sized(second[i].Path, "2", 4*mb)
	}
	for _, bound := range []float64{0, 0.1, 0.9} {
		_, l := series(t, Limits{MaxLayers: 64, MaxStale: bound}, build(first...), build(second...))
		if kept := l.Base >= 0; kept != (bound == 0.9) {
			t.Errorf("bound %v: base %d, %v", bound, l.Base, l.Notes)
		}
	}
}

func TestInputIsNotChanged(t *testing.T) {
	t.Parallel()
	tr := build(ballast(file("a/x", "1"))...)
	in, _ := series(t, loose, tr, build(ballast(file("a/x", "2"))...))
	before := fmt.Sprintf("%+v", in)
	mustMake(t, in)
	if diff := cmp.Diff(before, fmt.Sprintf("%+v", in)); diff != "" {
		t.Error(diff)
	}
}
