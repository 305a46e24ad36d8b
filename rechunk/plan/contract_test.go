package plan

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
)

// loose are limits that leave the planner free.
var loose = Limits{MaxLayers: 64, MaxStale: 1}

const mb = 1 << 20

// ballast is what makes two kept layers: one of package a, one of package b.
func ballast(more ...tree.Entry) []tree.Entry {
	return append([]tree.Entry{sized("a/big.so", "1", 50*mb), sized("b/big.so", "1", 50*mb)}, more...)
}

func TestContract(t *testing.T) {
	t.Parallel()
	other := func(e tree.Entry) tree.Entry { e.Mode = 0o700; return e }
	tests := []struct {
		name   string
		trees  [][]tree.Entry
		exact  bool
		kept   int      // kept layers
		fresh  []string // paths that new layers name
		hidden []string // whiteouts
	}{
		{"nothing", [][]tree.Entry{ballast(), ballast()}, false, 2, nil, nil},
		{"added", [][]tree.Entry{ballast(), ballast(file("a/x", "1"))}, false, 2, []string{"a/x"}, nil},
		{"changed", [][]tree.Entry{ballast(file("a/x", "1")), ballast(file("a/x", "2"))}, false, 2, []string{"a/x"}, nil},
		{"header", [][]tree.Entry{ballast(file("a/x", "1")), ballast(other(file("a/x", "1")))}, false, 2, []string{"a/x"},
			nil},
		{"removed", [][]tree.Entry{ballast(file("a/x", "1")), ballast()}, false, 2, nil, []string{"a/x"}},
		{"removed directory", [][]tree.Entry{ballast(file("a/d/x", "1"), file("a/d/e/y", "1")), ballast()}, false, 2, nil,
			[]string{"a/d"}},
		{"removed layer", [][]tree.Entry{ballast(), {sized("a/big.so", "1", 50*mb)}}, false, 1, nil, nil},
		{"removed, back in another version", [][]tree.Entry{ballast(file("a/x", "1")), ballast(), ballast(file("a/x", "1"))},
			false, 2,
			nil, nil},
		{"left alone in its directory", [][]tree.Entry{ballast(file("a/d/x", "1")), ballast(dir("a/d"))}, false, 2, nil,
			[]string{"a/d/x"}},
		{"empty directory", [][]tree.Entry{ballast(), ballast(dir("a/d"))}, false, 2, []string{"a/d"}, nil},
		{"directory header", [][]tree.Entry{ballast(), ballast(other(dir("a")))}, false, 1, []string{"a/big.so"}, nil},
		{"root header", [][]tree.Entry{ballast(), ballast(other(dir(".")))}, false, 0, []string{"a/big.so", "b/big.so"},
			nil},
		{"file to directory", [][]tree.Entry{ballast(file("a/x", "1")), ballast(file("a/x/y", "1"))}, false, 1,
			[]string{"a/big.so", "a/x/y"}, nil},
		{"directory to file", [][]tree.Entry{ballast(file("a/x/y", "1")), ballast(file("a/x", "1"))}, false, 1,
			[]string{"a/big.so", "a/x"}, nil},
		{"symlink to directory", [][]tree.Entry{ballast(symlink("a/x", "b")), ballast(dir("a/x"))}, false, 1,
			[]string{"a/big.so", "a/x"}, nil},
		{"file to symlink", [][]tree.Entry{ballast(file("a/x", "1")), ballast(symlink("a/x", "b"))}, false, 2,
			[]string{"a/x"}, nil},
		{"link gained", [][]tree.Entry{ballast(file("a/x", "1")), ballast(linked(file("a/x", "1"), file("a/y", "1"))...)},
			false, 2,
			[]string{"a/x", "a/y"}, nil},
		{"link lost", [][]tree.Entry{ballast(linked(file("a/x", "1"), file("a/y", "1"), file("a/z", "1"))...),
			ballast(linked(file("a/y", "1"), file("a/z", "1"))...)}, false, 2, nil, []string{"a/x"}},
		{"links split", [][]tree.Entry{ballast(linked(file("a/x", "1"), file("a/y", "1"))...),
			ballast(file("a/x", "1"), file("a/y", "1"))},
			false, 2, []string{"a/y"}, nil},
		{"links merged", [][]tree.Entry{ballast(append(linked(file("a/w", "1"), file("a/x", "1")),
			linked(file("a/y", "1"), file("a/z", "1"))...)...),
			ballast(linked(file("a/w", "1"), file("a/x", "1"), file("a/y", "1"), file("a/z", "1"))...)}, false, 2,
			[]string{"a/w", "a/x", "a/y", "a/z"}, nil},
		{"time ignored", [][]tree.Entry{ballast(file("a/x", "1")), ballast(later(file("a/x", "1")))}, false, 2, nil, nil},
		{"time kept", [][]tree.Entry{ballast(file("a/x", "1")), ballast(later(file("a/x", "1")))}, true, 2, []string{"a/x"},
			nil},
		{"directory time kept", [][]tree.Entry{ballast(), ballast(later(dir("a")))}, true, 1, []string{"a/big.so"}, nil},
		{"name that sorts before the root", [][]tree.Entry{ballast(file("-x/y", "1")), ballast(file("-x/y", "2"))}, false, 2,
			[]string{"-x/y"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			limits := loose
			limits.ExactTime = test.exact
			var trees []*tree.Tree
			for _, entries := range test.trees {
				trees = append(trees, build(slices.Clone(entries)...))
			}
			in, l := series(t, limits, trees...)
			got, want := outcome{}, outcome{test.kept, test.fresh, test.hidden}
			for _, layer := range l.Layers {
				if layer.Kept != "" {
					got.Kept++
				}
				for _, i := range layer.Entries {
					got.Fresh = append(got.Fresh, in.Tree.Entries[i].Path)
				}
				got.Hidden = append(got.Hidden, layer.Whiteouts...)
			}
			slices.Sort(got.Fresh)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff, l.Notes)
			}
		})
	}
}

type outcome struct {
	Kept   int
	Fresh  []string
	Hidden []string
}

func later(e tree.Entry) tree.Entry {
	e.Sec += 5
	return e
}

// A layer that hides an older version of a file must not bring it back when it goes.
func TestDropDoesNotResurrect(t *testing.T) {
	t.Parallel()
	first := build(ballast(file("a/x", "1"))...)
	second := build(ballast(file("volatile/y", "1"))...) // hides a/x beside volatile/y
	third := build(ballast(file("volatile/y", "2"))...)
	in, l := series(t, loose, first, second, third)
	got := apply(served(t, in, l))
	if diff := cmp.Diff(third.Entries, got); diff != "" {
		t.Error(diff)
	}
}

// A file that returns to what a lower layer has shows through when the layer between goes wholly.
func TestRevert(t *testing.T) {
	t.Parallel()
	one, two := build(ballast(sized("a/x", "1", 9*mb))...), build(ballast(sized("a/x", "2", 9*mb))...)
	_, l := series(t, loose, one, two, one)
	if hasNew(l) {
		t.Errorf("a revert writes new layers: %v", l.Notes)
	}
}
