package tree_test

import (
	"bytes"
	"errors"
	"fmt"
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

// FuzzScan scans any bytes twice. What is accepted is a valid index, the same both times, and can be flattened or is refused.
func FuzzScan(f *testing.F) {
	raw := Tar(f, Dir("."), Dir("d"), File("d/a", "x").WithXattr("user.x", "1"), Hardlink("d/b", "d/a"), Symlink("s", "d"), File("s/c", ""),
		Whiteout("e"), Opaque("d"), Char("c", 1, 2), Hardlink("l", "lower"))
	f.Add(raw)
	f.Add(Tar(f, gnu(File(strings.Repeat("n", 150), "x")), gnu(Hardlink("a", strings.Repeat("n", 150)))))
	f.Add(Gzip(f, raw))
	f.Add(Zstd(f, raw))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = withChecksums(b)
		got, err := scan(t, bytes.NewReader(b), fuzzLimits())
		if err != nil {
			if !errors.Is(err, tree.ErrInvalid) && !errors.Is(err, tree.ErrLimit) {
				t.Errorf("the error is nobody's: %v", err)
			}
			return
		}
		again, err := scan(t, bytes.NewReader(b), fuzzLimits())
		if err != nil {
			t.Fatalf("the second time: %v", err)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Fatalf("the second time differs:\n%s", d)
		}
		restored(t, got.Index)
		_, err = tree.Flatten(t.Context(), []*tree.Index{got.Index, again.Index}, fuzzLimits())
		if err != nil && !errors.Is(err, tree.ErrInvalid) && !errors.Is(err, tree.ErrLimit) {
			t.Errorf("the error is nobody's: %v", err)
		}
	})
}

// withChecksums repairs the checksums of what looks like a header, since changed bytes would go no further otherwise.
func withChecksums(b []byte) []byte {
	b = bytes.Clone(b)
	for block := b; len(block) >= 512; block = block[512:] {
		if string(block[257:262]) != "ustar" {
			continue
		}
		copy(block[148:156], "        ")
		sum := 0
		for _, c := range block[:512] {
			sum += int(c)
		}
		copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
	return b
}

// restored writes an index and reads it back under the limits it was made under.
func restored(t *testing.T, x *tree.Index) {
	t.Helper()
	var b bytes.Buffer
	if _, err := x.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	again, err := tree.ReadIndex(&b, fuzzLimits())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(x, again); d != "" {
		t.Fatalf("-want +got:\n%s", d)
	}
}

// FuzzFlattenWhiteouts makes layers of a script of paths and checks what every tree promises: order, parents, hardlink groups.
// Flattening a tree's own entries gives the tree again.
func FuzzFlattenWhiteouts(f *testing.F) {
	f.Add("Da Fa/b|Wa Da|Oa Fa/c")
	f.Add("Sa=b Fa/x|Wa/x Db|Lc=a/x")
	f.Add("Fa La=b|Lb=a Wa")
	f.Fuzz(func(t *testing.T, script string) {
		var layers []*tree.Index
		for part := range strings.SplitSeq(script, "|") {
			items := scripted(part)
			got, err := scan(t, bytes.NewReader(Tar(t, items...)), fuzzLimits())
			if err != nil {
				return
			}
			layers = append(layers, got.Index)
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
			items = append(items, gnu(File(name, word)))
		case 'D':
			items = append(items, gnu(Dir(name)))
		case 'S':
			items = append(items, gnu(Symlink(name, target)))
		case 'L':
			items = append(items, gnu(Hardlink(name, target)))
		case 'W':
			items = append(items, gnu(Whiteout(name)))
		case 'O':
			items = append(items, gnu(Opaque(name)))
		}
	}
	return items
}

// FuzzReadIndex reads any bytes. What is accepted can be written and reads the same again.
func FuzzReadIndex(f *testing.F) {
	for _, x := range []*tree.Index{sampleIndex(), {}, Index(f, Dir("a"), File("a/b", "x"), Hardlink("c", "a/b"), Whiteout("d"), Opaque("a"))} {
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
		restored(t, x)
	})
}
