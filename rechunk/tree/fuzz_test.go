package tree_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// fuzzLimits keep a single run small.
func fuzzLimits() tree.Limits {
	return tree.Limits{LayerBytes: 1 << 20, Entries: 1000, MetaBytes: 1 << 16, Path: 200, Depth: 20, Window: 1 << 20}
}

// FuzzFlattenWhiteouts makes layers of a script of paths and checks what every tree promises: order, parents, hardlink
// groups. Flattening a tree's own entries gives the tree again.
func FuzzFlattenWhiteouts(f *testing.F) {
	f.Add("Da Fa/b|Wa Da|Oa Fa/c")
	f.Add("Sa=b Fa/x|Wa/x Db|Lc=a/x")
	f.Add("Fa La=b|Lb=a Wa")
	f.Fuzz(func(t *testing.T, script string) {
		var layers []*tree.Index
		for part := range strings.SplitSeq(script, "|") {
			items := scripted(part)
			x, err := TryIndex(t, fuzzLimits(), items...)
			if err != nil {
				return
			}
			layers = append(layers, x)
		}
		got, err := tree.Flatten(t.Context(), layers, fuzzLimits())
		if err != nil {
			if !errors.Is(err, tree.ErrInvalid) && !errors.Is(err, tree.ErrLimit) {
				t.Errorf("the error is nobody's: %v", err)
			}
			return
		}
		groups := map[string]int{}
		for i := range got.Entries {
			e := &got.Entries[i]
			if i > 0 && tree.ComparePaths(got.Entries[i-1].Path, e.Path) >= 0 {
				t.Errorf("%q is out of order", e.Path)
			}
			if p := got.Lookup(tree.Parent(e.Path)); p == nil || p.Kind != tree.Dir {
				t.Errorf("%q has no parent directory", e.Path)
			}
			groups[e.Link]++
		}
		for name, n := range groups {
			if name != "" && n < 2 {
				t.Errorf("hardlink group %q has %d members", name, n)
			}
		}
		again, err := tree.Flatten(t.Context(), []*tree.Index{{Entries: got.Entries}}, fuzzLimits())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Errorf("flattened again (-want +got):\n%s", d)
		}
	})
}

// scripted turns words such as "Fa/b" (file), "Da", "Sa=target", "La=target", "Wa" and "Oa" into items.
func scripted(words string) []Item {
	var items []Item
	// More than a few words are no better than a few.
	words = words[:min(len(words), 500)]
	for word := range strings.FieldsSeq(words) {
		name, target, _ := strings.Cut(word[1:], "=")
		name = strings.TrimRight(name, "/")
		if len(name)+len(target) > 200 || strings.ContainsRune(word, 0) {
			continue
		}
		switch word[0] {
		case 'F':
			items = append(items, GNU(File(name, word)))
		case 'D':
			items = append(items, GNU(Dir(name)))
		case 'S':
			items = append(items, GNU(Symlink(name, target)))
		case 'L':
			items = append(items, GNU(Hardlink(name, target)))
		case 'W':
			items = append(items, GNU(Whiteout(name)))
		case 'O':
			items = append(items, GNU(Opaque(name)))
		}
	}
	return items
}

// FuzzReadIndex reads any bytes. What is accepted can be written and reads the same again.
func FuzzReadIndex(f *testing.F) {
	for _, x := range []*tree.Index{sampleIndex(), {},
		Index(f, Dir("a"), File("a/b", "x"), Hardlink("c", "a/b"), Whiteout("d"), Opaque("a"))} {
		var b bytes.Buffer
		if _, err := x.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(payload(f, b.Bytes()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		blob := append([]byte("strata index 1\n"), Zstd(t, b)...)
		x, err := tree.ReadIndex(bytes.NewReader(blob), fuzzLimits())
		if err != nil {
			if !errors.Is(err, tree.ErrInvalid) && !errors.Is(err, tree.ErrLimit) {
				t.Errorf("the error is nobody's: %v", err)
			}
			return
		}
		Stored(t, x, fuzzLimits())
	})
}
