package tree_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// TestFlattenSeries edits a random tree again and again, and flattens the layers that lead from version to version.
func TestFlattenSeries(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := treetest.NewRandom(seed)
			var prev *tree.Tree
			var layers [][]treetest.Item
			var indexes []*tree.Index
			for version := range 20 {
				next := r.Tree(60)
				if prev != nil {
					next = r.Edit(prev, 12)
				}
				layer := r.Layer(prev, next)
				layers = append(layers, layer)
				indexes = append(indexes, treetest.Stored(t, treetest.Index(t, layer...), tree.Limits{}))
				got, err := tree.Flatten(t.Context(), indexes, tree.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(next, got); d != "" {
					t.Fatalf("version %d (-want +got):\n%s", version, d)
				}
				if d := tree.Diff(next, got, tree.DiffOptions{Times: true}); d != nil {
					t.Fatalf("version %d: Diff sees %v", version, d)
				}
				checkDiffLayers(t, indexes, next, prev)
				prev = next
			}
			want, err := treetest.Reference(layers...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, prev); d != "" {
				t.Fatalf("the reference differs (-want +got):\n%s", d)
			}
		})
	}
}

// checkDiffLayers has layers compared with the tree that they make and with another one, if there is one.
func checkDiffLayers(t *testing.T, indexes []*tree.Index, same, other *tree.Tree) {
	t.Helper()
	layers := func(yield func(tree.Layer) bool) {
		for _, x := range indexes {
			if !yield(x.Layer()) {
				return
			}
		}
	}
	opts := tree.DiffOptions{Times: true}
	for _, want := range []*tree.Tree{same, other} {
		if want == nil {
			continue
		}
		got, err := tree.DiffLayers(t.Context(), want, layers, tree.Limits{}, opts)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tree.Diff(want, same, opts), got); d != "" {
			t.Fatalf("layers compared one by one (-want +got):\n%s", d)
		}
	}
	// Every other entry in one layer, the rest in one below. Of hardlink groups that are torn apart, nothing is said here.
	var parts [2][]int32
	for i := range same.Entries {
		if e := &same.Entries[i]; e.Link != "" {
			return
		} else if e.Kind == tree.Dir {
			parts[0] = append(parts[0], int32(i))
		} else {
			parts[i%2] = append(parts[i%2], int32(i))
		}
	}
	got, err := tree.DiffLayers(t.Context(), same,
		slices.Values([]tree.Layer{same.Layer(parts[0], nil), same.Layer(parts[1], nil)}), tree.Limits{}, opts)
	if err != nil || got != nil {
		t.Fatalf("of parts of the tree: %v, %v", got, err)
	}
}

// TestFlattenChaos flattens layers that no sane tool would write and expects what the reference makes of them.
func TestFlattenChaos(t *testing.T) {
	t.Parallel()
	const seeds = 1000
	failed, odd, done := 0, 0, 0
	for seed := range uint64(seeds) {
		r := treetest.NewRandom(seed)
		var layers [][]treetest.Item
		for range 3 {
			layers = append(layers, r.Chaos(8))
		}
		want, wantErr := treetest.Reference(layers...)
		got, err := flatten(t, layers, seed%10 == 0)
		if wantErr != nil {
			failed++
			continue
		}
		if err != nil {
			// Only the reference, which has all lower layers before it when it reads a header, knows where every link leads,
			// and lets what is not seen in the end pass.
			odd++
			continue
		}
		done++
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d (-want +got):\n%s\n%s", seed, d, show(layers))
		}
	}
	t.Logf("%d flattened, %d refused by both, %d by Flatten alone", done, failed, odd)
	if done < seeds*8/10 || odd > seeds/100 {
		t.Error("too few were flattened")
	}
}

func show(layers [][]treetest.Item) string {
	var b bytes.Buffer
	for n, items := range layers {
		fmt.Fprintf(&b, "layer %d:\n", n)
		for _, i := range items {
			fmt.Fprintf(&b, "\t%c %s %s\n", i.Typeflag, i.Name, i.Linkname)
		}
	}
	return b.String()
}

func flatten(t *testing.T, layers [][]treetest.Item, store bool) (*tree.Tree, error) {
	t.Helper()
	var indexes []*tree.Index
	for _, items := range layers {
		x, err := treetest.TryIndex(t, tree.Limits{}, items...)
		if err != nil {
			return nil, err
		}
		if store {
			x = treetest.Stored(t, x, tree.Limits{})
		}
		indexes = append(indexes, x)
	}
	return tree.Flatten(t.Context(), indexes, tree.Limits{})
}
