package rechunk_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// An image in ostree's form is that of its source when its commit is, and its layers have what the commit names and nothing
// else; hosts go by these alone.
func TestCommitOf(t *testing.T) {
	t.Parallel()
	items := func(version string) []Item {
		return []Item{
			Dir("."), Dir("sysroot"), Dir("usr"), Dir("etc"), File("etc/empty", "").WithXattr("user.e", "e"),
			File("usr/a", strings.Repeat("same", 999)), File("usr/b", strings.Repeat("same", 999)), Symlink("usr/l", "a"),
			File("usr/next", version).WithXattr("user.x", "x"), File("usr/next2", version+"2"),
		}
	}
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	o := encapsulated()
	o.MaxStale = 0.9
	b.serve(t, source(t, items("1")), o)
	from := source(t, items("2"))
	v, s := b.serve(t, from, o)
	if v.LayersKept == 0 {
		t.Fatal("nothing is kept, and so nothing is unused")
	}
	src := inspect(t, b, from)
	find := func(l [][]Item, suffix string) *Item {
		for k := len(l) - 1; k >= 0; k-- {
			for n := range l[k] {
				if strings.HasSuffix(l[k][n].Name, suffix) {
					return &l[k][n]
				}
			}
		}
		t.Fatalf("no %s", suffix)
		return nil
	}
	write := func(i *Item, body string) { i.Body, i.Size = body, int64(len(body)) }
	at := func(l [][]Item, name string) *Item {
		i := find(l, name)
		return find(l, i.Linkname)
	}
	for name, tc := range map[string]struct {
		edit func(l [][]Item) [][]Item
		bad  bool
	}{
		"as it was made":   {func(l [][]Item) [][]Item { return l }, false},
		"another content":  {func(l [][]Item) [][]Item { write(at(l, "usr/next2"), "33"); return l }, true},
		"another mode":     {func(l [][]Item) [][]Item { at(l, "usr/next2").Mode = 0o4755; return l }, true},
		"other attributes": {func(l [][]Item) [][]Item { write(find(l, ".file-xattrs-link"), "x"); return l }, true},
		"another dirmeta":  {func(l [][]Item) [][]Item { write(find(l, ".dirmeta"), "x"); return l }, true},
		"another config":   {func(l [][]Item) [][]Item { write(find(l, "repo/config"), "x"); return l }, true},
		"a ref": {func(l [][]Item) [][]Item {
			return append(l,
				[]Item{File("sysroot/ostree/repo/refs/heads/x", "")})
		}, true},
		"a file of its own":    {func(l [][]Item) [][]Item { return append(l, []Item{File("sysroot/x", "")}) }, true},
		"no layer of objects":  {func(l [][]Item) [][]Item { return l[:1] }, true},
		"no commit":            {func(l [][]Item) [][]Item { return l[1:] }, true},
		"the repository hides": {func(l [][]Item) [][]Item { return append(l, []Item{Whiteout("sysroot/ostree")}) }, true},
		"an object that is not what it is called": {func(l [][]Item) [][]Item {
			name := "sysroot/ostree/repo/objects/aa/" + strings.Repeat("b", 62) + ".file"
			return append(l, []Item{File(name+"-xattrs-link", ""), File(name, "x")})
		}, true},
		"attributes of nothing": {func(l [][]Item) [][]Item {
			return append(l, []Item{File("sysroot/ostree/repo/objects/aa/"+strings.Repeat("b", 62)+".file-xattrs-link", "")})
		}, true},
	} {
		layers := make([][]Item, len(s.Layers))
		for n := range layers {
			layers[n] = slices.Clone(s.Layers[n])
		}
		img := rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: s.Config.Config.Labels,
			Annotations: s.Manifest.Annotations}, tc.edit(layers)...)
		made, err := b.Inspect(t.Context(), img.Request("", rechunk.Options{}))
		if err == nil {
			_, err = made.CommitOf(t.Context(), src)
			if err := made.Close(); err != nil {
				t.Error(err)
			}
		}
		if (err != nil) != tc.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
	labels := maps.Clone(s.Config.Config.Labels)
	labels["ostree.commit"] = strings.Repeat("0", 64)
	made := inspect(t, b, rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: labels}, s.Layers...))
	if _, err := made.CommitOf(t.Context(), src); !errors.Is(err, rechunk.ErrNotSame) {
		t.Errorf("another commit: %v", err)
	}
}
