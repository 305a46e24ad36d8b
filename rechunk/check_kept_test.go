package rechunk

import (
	"errors"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// The tree that is served is the source's with the kept files replaced, and nothing else.
func TestCheckKept(t *testing.T) {
	t.Parallel()
	items := func(initrd, other string) []Item {
		return []Item{Dir("."), Dir("boot"), File("boot/initrd", initrd).WithXattr("user.a", "b"), File("other", other)}
	}
	exact, served := Tree(t, items("new", "x")), Tree(t, items("old", "x"))
	now, was := exact.Lookup("boot/initrd"), served.Lookup("boot/initrd")
	kept := KeptFile{Path: "boot/initrd", Served: ociDigest(was.Digest), Source: ociDigest(now.Digest), ServedSize: was.Size,
		SourceSize: now.Size}
	for name, tc := range map[string]struct {
		edit func(r *run)
		bad  bool
	}{
		"just so":        {func(*run) {}, false},
		"another time":   {func(r *run) { r.tree.Entries[2].Sec = 7 }, false},
		"nothing kept":   {func(r *run) { r.kept = nil }, false},
		"another file":   {func(r *run) { r.tree = Tree(t, items("old", "y")) }, true},
		"another mode":   {func(r *run) { r.tree.Entries[1].Mode = 0o700 }, true},
		"an attribute":   {func(r *run) { r.tree.Entries[2].Xattrs = nil }, true},
		"something else": {func(r *run) { r.tree = Tree(t, items("another", "x")) }, true},
		"not replaced":   {func(r *run) { r.tree = exact }, false},
		"one more":       {func(r *run) { r.tree = Tree(t, append(items("old", "x"), File("z", "z"))) }, true},
		"twice":          {func(r *run) { r.kept = append(r.kept, r.kept[0]) }, true},
		"not at all":     {func(r *run) { r.kept[0].Source = r.kept[0].Served }, true},
		"another size":   {func(r *run) { r.tree.Entries[2].Size++ }, true},
	} {
		r := &run{tree: served.Clone(), kept: []KeptFile{kept}, exactSum: sumWithout(exact, nil)}
		tc.edit(r)
		if err := r.checkKept(); (err != nil) != tc.bad || err != nil && !errors.Is(err, ErrNotSame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, b := sumWithout(exact, nil), sumWithout(&tree.Tree{}, nil); a == b {
		t.Error("two trees, one sum")
	}
}
