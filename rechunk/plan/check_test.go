package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
)

// updated is an input with a base of two layers, and its layout: two kept layers and a new one that has a/x and hides
// a/gone.
func updated(t *testing.T) (Input, *Layout) {
	links := linked(file("a/l1", "1"), file("a/l2", "1"))
	in, l := series(t, loose, build(ballast(append(links, file("a/x", "1"), file("a/gone", "1"))...)...),
		build(ballast(append(linked(file("a/l1", "2"), file("a/l2", "2")), file("a/x", "2"))...)...))
	if len(l.Layers) != 3 || l.Layers[2].Kept != "" {
		t.Fatalf("unexpected layout: %+v", l.Layers)
	}
	return in, l
}

// Check refuses every way in which a layout can be wrong.
func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		want  string
		spoil func(in *Input, l *Layout)
	}{
		{"no layers", "no layers", func(_ *Input, l *Layout) { l.Layers = nil }},
		{"too many", "allowed", func(in *Input, _ *Layout) { in.Limits.MaxLayers = 2 }},
		{"stale", "stale", func(in *Input, _ *Layout) { in.Limits.MaxStale = 0 }},
		{"order", "not in the order", func(_ *Input, l *Layout) { l.Layers[0], l.Layers[1] = l.Layers[1], l.Layers[0] }},
		{"new below", "lies above", func(_ *Input, l *Layout) { l.Layers[1], l.Layers[2] = l.Layers[2], l.Layers[1] }},
		{"foreign", "in no image", func(_ *Input, l *Layout) { l.Layers[0].Kept = "sha256:00" }},
		{"no base", "base", func(_ *Input, l *Layout) { l.Base = -1 }},
		{"layer missing", "in no layer", func(_ *Input, l *Layout) { l.Layers = l.Layers[1:] }},
		{"entry missing", "not what the tree has", func(in *Input, l *Layout) {
			i, _ := in.Tree.Find("a/x")
			l.Layers[2].Entries = slices.DeleteFunc(l.Layers[2].Entries, func(e int) bool { return e == i })
		}},
		{"entry out of range", "out of range",
			func(in *Input, l *Layout) { l.Layers[2].Entries = []int{len(in.Tree.Entries)} }},
		{"entries unsorted", "order", func(_ *Input, l *Layout) { slices.Reverse(l.Layers[2].Entries) }},
		{"entry twice", "new layers", func(_ *Input,
			l *Layout) {
			l.Layers = append(l.Layers, l.Layers[2])
			l.Layers[3].Whiteouts = nil
		}},
		{"empty layer", "is empty", func(_ *Input,
			l *Layout) {
			l.Layers = append(l.Layers, Layer{Name: "n", Reason: "r"})
		}},
		{"no name", "name", func(_ *Input, l *Layout) { l.Layers[2].Name = "" }},
		{"group torn", "torn apart", func(in *Input, l *Layout) {
			i, _ := in.Tree.Find("a/l2")
			l.Layers[2].Entries = slices.DeleteFunc(l.Layers[2].Entries, func(e int) bool { return e == i })
			l.Layers = append(l.Layers, Layer{Name: "n", Reason: "r", Entries: []int{i}})
		}},
		{"whiteout missing", "shows though", func(_ *Input, l *Layout) { l.Layers[2].Whiteouts = nil }},
		{"whiteout of nothing", "hides nothing",
			func(_ *Input, l *Layout) { l.Layers[2].Whiteouts = []string{"a/gone", "a/no"} }},
		{"whiteout of the tree", "path of the tree",
			func(_ *Input, l *Layout) { l.Layers[2].Whiteouts = []string{"a/gone", "a/x"} }},
		{"whiteout twice", "twice", func(_ *Input, l *Layout) { l.Layers[2].Whiteouts = []string{"a/gone", "a/gone"} }},
		{"whiteouts unsorted", "order", func(_ *Input, l *Layout) { l.Layers[2].Whiteouts = []string{"b", "a/gone"} }},
		{"whiteout too high", "not the lowest", func(_ *Input, l *Layout) {
			l.Layers = append(l.Layers, Layer{Name: "n", Reason: "r", Whiteouts: l.Layers[2].Whiteouts})
		}},
		{"directory header", "another header", func(in *Input, _ *Layout) { in.Tree.Entries[1].Mode = 0o711 }},
		{"type", "as directory", func(in *Input, l *Layout) {
			in.Tree = build(append(ballast()[:1], file("b", "1"))...)
			in.Owners = owners(in.Tree)
			l.Layers[2].Entries = []int{0}
		}},
		{"links of a kept layer", "keeps apart", func(in *Input, l *Layout) {
			layer := &in.Lineage[l.Base].Layers[0]
			entries := slices.Clone(layer.Index.Entries)
			for i := range entries {
				if entries[i].Kind == tree.Regular {
					entries[i].Link = entries[1].Path
				}
			}
			layer.Index = &tree.Index{Entries: entries}
			in.Tree = build(ballast(file("a/l1", "1"), file("a/l2", "1"), file("a/x", "1"), file("a/gone", "1"))...)
			in.Owners = owners(in.Tree)
			l.Layers = l.Layers[:2]
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in, l := updated(t)
			test.spoil(&in, l)
			err := Check(in, l)
			if !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}
