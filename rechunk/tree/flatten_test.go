package tree_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

func TestFlatten(t *testing.T) {
	t.Parallel()
	type layers = [][]Item
	tests := map[string]struct {
		layers layers
		want   []string
	}{
		"nothing": {nil, []string{"directory ."}},
		"implied parents": {layers{{File("a/b/c", "x")}},
			[]string{"directory .", "directory a", "directory a/b", "file a/b/c 1"}},
		"replaced": {layers{{File("a", "1"), Dir("d"), File("d/x", "")}, {File("a", "22"), Dir("d"), File("d/y", "")}},
			[]string{"directory .", "file a 2", "directory d", "file d/x 0", "file d/y 0"}},
		"whiteout of a file": {layers{{File("a", ""), File("b", "")}, {Whiteout("a")}}, []string{"directory .", "file b 0"}},
		"whiteout of a directory": {layers{{Dir("a"), File("a/b/c", ""), File("ab", "")}, {Whiteout("a")}},
			[]string{"directory .", "file ab 0"}},
		"whiteout of nothing": {layers{{File("a", "")},
			{Whiteout("b"), Whiteout("c/d"), Whiteout("a/x"), Opaque("a"), Opaque("b")}},
			[]string{"directory .", "file a 0"}},
		"whiteout and object in one layer": {layers{{Dir("a"), File("a/x", ""), Dir("b"), File("b/x", "")},
			{Dir("a"), File("a/y", ""), Whiteout("a"), Whiteout("b"), Dir("b"), File("b/y", "")}},
			[]string{"directory .", "directory a", "file a/y 0", "directory b", "file b/y 0"}},
		"whiteout behind a symlink loop": {layers{{Symlink("a", "a/b")}, {Whiteout("a/x"), Opaque("a/y")}},
			[]string{"directory .", "symlink a -> a/b"}},
		"whiteout of a symlink loop": {layers{{Symlink("a", "a/b")}, {Whiteout("a"), Dir("a/b")}},
			[]string{"directory .", "directory a", "directory a/b"}},
		"whiteout of a symlink that is a directory then": {layers{{Symlink("a", "x"), File("x/b", "")},
			{Whiteout("a"), Dir("a/b"), Whiteout("x/c")}},
			[]string{"directory .", "directory a", "directory a/b", "directory x", "file x/b 0"}},
		"opaque": {layers{{Dir("a"), File("a/x", ""), Dir("a/d"), File("a/d/x", "")},
			{File("a/y", ""), Opaque("a"), File("a/d/y", "")}},
			[]string{"directory .", "directory a", "directory a/d", "file a/d/y 0", "file a/y 0"}},
		"opaque root": {layers{{File("a", "")}, {File("b", ""), Opaque("")}}, []string{"directory .", "file b 0"}},
		"opaque through a symlink": {layers{{Dir("d"), File("d/x", ""), File("d/e/x", ""), Symlink("s", "d")},
			{Opaque("s/e"), Whiteout("s/x")}},
			[]string{"directory .", "directory d", "directory d/e", "symlink s -> d"}},
		"opaque symlink": {layers{{File("d/x", ""), Symlink("s", "d")}, {Opaque("s")}},
			[]string{"directory .", "directory d", "file d/x 0", "symlink s -> d"}},
		"opaque directory over a symlink": {layers{{File("d/x", ""), File("d/e/x", ""), Symlink("s", "d")},
			{Dir("s"), Opaque("s"), Whiteout("s/x"), Opaque("s/e"), File("s/y", "")}},
			[]string{"directory .", "directory d", "directory d/e", "file d/e/x 0", "file d/x 0", "directory s",
				"file s/y 0"}},
		"file over directory": {layers{{Dir("a"), File("a/x", "")}, {File("a", "1")}}, []string{"directory .", "file a 1"}},
		"directory over file": {layers{{File("a", "1")}, {Dir("a"), File("a/x", "")}},
			[]string{"directory .", "directory a", "file a/x 0"}},
		"object below a file": {layers{{File("a", "1")}, {File("a/x", "")}},
			[]string{"directory .", "directory a", "file a/x 0"}},
		"directory over symlink": {layers{{Dir("b"), File("b/x", ""), Symlink("a", "b")}, {Dir("a"), File("a/y", "")}},
			[]string{"directory .", "directory a", "file a/y 0", "directory b", "file b/x 0"}},
		"symlink over directory": {layers{{Dir("a"), File("a/x", "")}, {Symlink("a", "b")}},
			[]string{"directory .", "symlink a -> b"}},
		"parent is a symlink below": {layers{{Symlink("lib", "usr/lib"), Dir("usr/lib")},
			{File("lib/x", ""), File("lib/d/y", "")}},
			[]string{"directory .", "symlink lib -> usr/lib", "directory usr", "directory usr/lib", "directory usr/lib/d",
				"file usr/lib/d/y 0", "file usr/lib/x 0"}},
		"parent dangles": {layers{{Symlink("a", "b/../c")}, {File("a/x", "")}},
			[]string{"directory .", "symlink a -> b/../c", "directory b", "directory c", "file c/x 0"}},
		"parent is absolute": {layers{{Symlink("d/a", "/c")}, {File("d/a/x", "")}},
			[]string{"directory .", "directory c", "file c/x 0", "directory d", "symlink d/a -> /c"}},
		"link across layers": {layers{{File("a", "x")}, {Hardlink("b", "a")}},
			[]string{"directory .", "file a 1 = a", "file b 1 = a"}},
		"link, target replaced later": {layers{{File("a", "x"), Hardlink("b", "a")}, {File("a", "22")}},
			[]string{"directory .", "file a 2", "file b 1"}},
		"link, target hidden later": {layers{{File("a", "x"), Hardlink("b", "a"), Hardlink("c", "a")}, {Whiteout("a")}},
			[]string{"directory .", "file b 1 = b", "file c 1 = b"}},
		"link before target in one layer": {layers{{Hardlink("a", "b"), File("b", "x")}},
			[]string{"directory .", "file a 1 = a", "file b 1 = a"}},
		"link before target that replaces": {layers{{File("b", "old")}, {Hardlink("a", "b"), File("b", "x")}},
			[]string{"directory .", "file a 3", "file b 1"}},
		"link and whiteout of its target": {layers{{File("a", "x")}, {Hardlink("b", "a"), Whiteout("a")}},
			[]string{"directory .", "file b 1"}},
		"link to itself below": {layers{{File("a", "x")}, {Hardlink("a", "a")}},
			[]string{"directory .", "file a 1"}},
		"link to a symlink below": {layers{{Symlink("lib", "usr/lib")}, {File("lib/x", ""), Hardlink("lib64", "lib")}},
			[]string{"directory .", "symlink lib -> usr/lib = lib", "symlink lib64 -> usr/lib = lib", "directory usr",
				"directory usr/lib", "file usr/lib/x 0"}},
		"link through a symlink below": {layers{{Symlink("s", "d"), File("d/x", "x")}, {Hardlink("y", "s/x")}},
			[]string{"directory .", "directory d", "file d/x 1 = d/x", "symlink s -> d", "file y 1 = d/x"}},
		"link over a directory": {layers{{File("a", "x"), File("d/x", "")}, {Hardlink("d", "a")}},
			[]string{"directory .", "file a 1 = a", "file d 1 = a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Tree(t, tt.layers...)
			if d := cmp.Diff(tt.want, Lines(got.Entries)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			want, err := Reference(tt.layers...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" && !strings.Contains(name, "dangles") {
				t.Errorf("the reference differs (-want +got):\n%s", d)
			}
		})
	}
}

func TestFlattenHeaders(t *testing.T) {
	t.Parallel()
	got := Tree(t, []Item{Dir("a").WithMode(0o700).WithOwner(1, 2), File("a/x", ""), Dir(".").WithMode(0o555)},
		[]Item{File("a/y", ""), File("b/z", "")},
		[]Item{Dir("a").WithMode(0o711).WithXattr("user.x", "1")})
	modes := map[string]uint32{".": 0o555, "a": 0o711, "b": 0o755}
	for p, mode := range modes {
		if e := got.Lookup(p); e.Mode != mode || e.UID != 0 || e.GID != 0 {
			t.Errorf("%s: mode %o, owner %d:%d", p, e.Mode, e.UID, e.GID)
		}
	}
	if v, ok := got.Lookup("a").Xattr("user.x"); !ok || v != "1" {
		t.Errorf("xattr %q, %v", v, ok)
	}
	if got.Lookup("nothing") != nil {
		t.Error("there is nothing")
	}
}

func TestFlattenRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		layers [][]Item
		limits tree.Limits
		want   error
	}{
		"link to nothing":     {layers: [][]Item{{Hardlink("a", "b")}}, want: tree.ErrInvalid},
		"link to itself":      {layers: [][]Item{{Hardlink("a", "a")}}, want: tree.ErrInvalid},
		"link to a directory": {layers: [][]Item{{Dir("a")}, {Hardlink("b", "a")}}, want: tree.ErrInvalid},
		"links in a circle":   {layers: [][]Item{{Hardlink("a", "b"), Hardlink("b", "a")}}, want: tree.ErrInvalid},
		"symlink loop": {layers: [][]Item{{Symlink("a", "b"), Symlink("b", "a")}, {File("a/x", "")}},
			want: tree.ErrInvalid},
		"root is a file": {layers: [][]Item{{Dir(".")}, {Symlink("s", "."), Hardlink(".", "s")}},
			want: tree.ErrInvalid},
		"too many paths": {[][]Item{{File("a", ""), File("b", "")}, {File("c/d", "")}}, tree.Limits{Entries: 3},
			tree.ErrLimit},
		"too deep": {[][]Item{{Symlink("s", "a/b/c"), Dir("a/b/c")}, {File("s/x/y", "")}},
			tree.Limits{Depth: 4}, tree.ErrLimit},
		"too long": {[][]Item{{Symlink("s", strings.Repeat("d", 50)), Dir(strings.Repeat("d", 50))},
			{File("s/"+strings.Repeat("x", 20), "")}},
			tree.Limits{Path: 60}, tree.ErrLimit},
		"too much": {[][]Item{{Symlink("s", strings.Repeat("d", 50)), Dir(strings.Repeat("d", 50))},
			{File("s/a", ""), File("s/b", ""), File("s/c", "")}},
			tree.Limits{MetaBytes: 200}, tree.ErrLimit},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var x []*tree.Index
			for _, items := range tt.layers {
				layer, _ := TryIndex(t, tree.Limits{}, items...) // nil for one that is refused already
				x = append(x, layer)
			}
			if x[len(x)-1] == nil {
				return
			}
			if _, err := tree.Flatten(t.Context(), x, tt.limits); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tree.Flatten(ctx, []*tree.Index{{}}, tree.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTreeQueries(t *testing.T) {
	t.Parallel()
	got := Tree(t, []Item{File("a", "12345"), Hardlink("b", "a"), File("c", "1"), Dir("sysroot")})
	if got.Bytes() != 6 {
		t.Errorf("%d bytes", got.Bytes())
	}
	if i, ok := got.Find("bb"); ok || i != 3 {
		t.Errorf("Find: %d, %v", i, ok)
	}
	if tree.Parent("a/b") != "a" || tree.Parent("a") != "." || tree.Parent(".") != "." {
		t.Error("Parent is wrong")
	}
	for _, c := range []struct {
		p, dir string
		want   bool
	}{{"a", ".", true}, {"a", "a", true}, {"a/b", "a", true}, {"ab", "a", false}, {"a", "a/b", false}, {".", "a", false}} {
		if tree.Within(c.p, c.dir) != c.want {
			t.Errorf("Within(%q, %q) is not %v", c.p, c.dir, c.want)
		}
	}
}
