package tree_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	base := []Item{File("a", "1"), Dir("d"), Symlink("s", "x"), Char("c", 1, 2), File("l", "1"), Hardlink("m", "l")}
	tests := map[string]struct {
		change []Item
		times  bool
		want   []string
	}{
		"equal":     {nil, true, nil},
		"missing":   {[]Item{Whiteout("a")}, false, []string{"a: missing"}},
		"added":     {[]Item{File("b", "")}, false, []string{"b: added"}},
		"type":      {[]Item{Dir("a")}, false, []string{"a: type: file != directory"}},
		"mode":      {[]Item{Dir("d").WithMode(0o1700)}, false, []string{"d: mode: 0755 != 1700"}},
		"owner":     {[]Item{Dir("d").WithOwner(1, 2)}, false, []string{"d: owner: 0:0 != 1:2"}},
		"xattrs":    {[]Item{Dir("d").WithXattr("user.x", "\x00")}, false, []string{`d: xattrs: [] != [user.x="\x00"]`}},
		"target":    {[]Item{Symlink("s", "y\n")}, false, []string{`s: target: x != "y\n"`}},
		"device":    {[]Item{Char("c", 1, 3)}, false, []string{"c: device: 1:2 != 1:3"}},
		"hardlinks": {[]Item{File("m", "1")}, false, []string{"l: hardlinks: l != ", "m: hardlinks: l != "}},
		"mtime": {[]Item{Dir("d").WithTime(epochPlus(5))}, true,
			[]string{"d: mtime: 1700000000.000000000 != 1700000000.000000005"}},
		"no mtime": {[]Item{Dir("d").WithTime(epochPlus(5))}, false, nil},
		"several": {[]Item{Dir("d").WithMode(0).WithOwner(1, 1), Whiteout("a")}, false,
			[]string{"a: missing", "d: mode: 0755 != 0000", "d: owner: 0:0 != 1:1"}},
		"name quoted": {[]Item{File("\x1b[m", "")}, false, []string{`"\x1b[m": added`}},
		"content": {[]Item{File("a", "22")}, false, []string{
			"a: content: 1 bytes sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b != " +
				"2 bytes sha256:785f3ec7eb32f30b90cd0fcf3657d388b5ff4297f2f9716ff66e9b69c05ddd09"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, d := range tree.Diff(Tree(t, base), Tree(t, base, tt.change), tree.DiffOptions{Times: tt.times}) {
				got = append(got, d.String())
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestDiffMost(t *testing.T) {
	t.Parallel()
	a, b := Tree(t, []Item{File("a", ""), File("b", ""), File("c", "")}),
		Tree(t, []Item{Dir("a"), File("b", "").WithMode(0).WithOwner(1, 1)})
	all := tree.Diff(a, b, tree.DiffOptions{})
	if len(all) != 4 {
		t.Fatalf("%v", all)
	}
	for most := 1; most < 6; most++ {
		if d := cmp.Diff(all[:min(most, 4)], tree.Diff(a, b, tree.DiffOptions{Most: most})); d != "" {
			t.Errorf("most %d:\n%s", most, d)
		}
	}
}

// TestDiffLookalikes has attributes that would read the same without quotes.
func TestDiffLookalikes(t *testing.T) {
	t.Parallel()
	attrs := func(x ...tree.Xattr) *tree.Tree {
		return &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir, Xattrs: x}}}
	}
	a, b := attrs(tree.Xattr{Name: "a", Value: "1"}, tree.Xattr{Name: "b", Value: "2"}),
		attrs(tree.Xattr{Name: `a="1" b`, Value: "2"})
	if got := tree.Diff(a, b, tree.DiffOptions{}); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func epochPlus(nsec int64) time.Time { return time.Unix(1_700_000_000, nsec) }
