package ostree_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

const objects = "sysroot/ostree/repo/objects/"

// encapsulated is a small image as ostree-ext writes it: objects first, the files as hardlinks to them.
func encapsulated(attrs string) []Item {
	return []Item{
		Dir("."), Dir("sysroot"), Dir("sysroot/ostree"), Dir("sysroot/ostree/repo"), Dir("sysroot/ostree/repo/objects"),
		File(objects+"aa/bb.file-xattrs", attrs),
		File(objects+"aa/bb.file-xattrs-link", attrs),
		File(objects+"aa/bb.file", "program").WithMode(0o755), Hardlink("usr/bin/b", objects+"aa/bb.file"),
		Hardlink("usr/bin/a", objects+"aa/bb.file"),
		Hardlink(objects+"cc/dd.file-xattrs-link", objects+"aa/bb.file-xattrs"),
		File(objects+"cc/dd.file", "text").WithXattr("user.one", "own"), Hardlink("etc/conf", objects+"cc/dd.file"),
		File(objects+"ee/ff.file", "no attributes"), Hardlink("usr/share/doc", objects+"ee/ff.file"),
		File(objects+"11/22.commit", "commit"), File("sysroot-is-not-it", ""),
		File("usr/lib/empty", ""),
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	// security.selinux=label, user.one=1
	attrs := "security.selinux\x00label\x11" + "user.one\x001\x09" + "\x17\x22"
	contents := Contents{}
	contents.Add(attrs)
	given := Tree(t, encapsulated(attrs))
	got, err := ostree.Plain(ostree.Image{Tree: given, Contents: contents}, tree.NewBudget(tree.Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Tree(t, encapsulated(attrs)), given); d != "" {
		t.Errorf("the tree that was given changed:\n%s", d)
	}
	want := Tree(t, []Item{
		Dir("."), Dir("sysroot"), File("sysroot-is-not-it", ""),
		File("etc/conf", "text").WithXattr("user.one", "own"),
		File("usr/bin/a", "program").WithMode(0o755).WithXattr("user.one", "1"), Hardlink("usr/bin/b", "usr/bin/a"),
		File("usr/lib/empty", ""), File("usr/share/doc", "no attributes"),
	})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if again, err := ostree.Plain(ostree.Image{Tree: got, Contents: contents}, tree.NewBudget(tree.Limits{})); err != nil ||
		cmp.Diff(got, again) != "" {
		t.Errorf("a plain tree changes: %v", err)
	}
}

func TestPlainRefuses(t *testing.T) {
	t.Parallel()
	contents := Contents{}
	contents.Add("damaged")
	large := strings.Repeat("x", 300<<10)
	contents.Add(large)
	for name, c := range map[string]struct {
		attrs string
		want  error
	}{"damaged": {"damaged", tree.ErrInvalid}, "large": {large, tree.ErrLimit}, "missing": {"missing", tree.ErrNoContent}} {
		if _, err := ostree.Plain(ostree.Image{Tree: Tree(t, encapsulated(c.attrs)), Contents: contents},
			tree.NewBudget(tree.Limits{})); !errors.Is(err,
			c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIsAttributes(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"sysroot/ostree/repo/objects/ab/cd.file-xattrs":      true,
		"sysroot/ostree/repo/objects/ab/cd.file-xattrs-link": true,
		"sysroot/ostree/repo/objects/ab/cd.file":             false,
		"etc/ab.file-xattrs":                                 false,
	} {
		if got := ostree.IsAttributes(path); got != want {
			t.Errorf("IsAttributes(%q) = %t", path, got)
		}
	}
}

func TestHasSysroot(t *testing.T) {
	t.Parallel()
	if ostree.HasSysroot(Tree(t, []Item{File("a", "12345"), Dir("sysroot")})) {
		t.Error("sysroot is empty")
	}
	if !ostree.HasSysroot(Tree(t, []Item{File("sysroot-x", ""), File("sysroot/a", "")})) ||
		ostree.HasSysroot(Tree(t, []Item{File("sysroot-x", "")})) {
		t.Error("HasSysroot is wrong")
	}
}

// One object that is that of many files is there once, also where files have attributes of their own.
func TestPlainSharesAttributes(t *testing.T) {
	t.Parallel()
	// user.one=1
	attrs := "user.one\x001\x09\x0b"
	contents := Contents{}
	contents.Add(attrs)
	var items []Item
	for i := range 100 {
		object := fmt.Sprintf(objects+"%02x/x", i)
		file := File(object+".file", fmt.Sprint(i))
		if i%2 == 0 {
			file = file.WithXattr("user.own", "x")
		}
		items = append(items, file, File(object+".file-xattrs", attrs), Hardlink(fmt.Sprintf("usr/%02d", i), object+".file"))
	}
	plain, err := ostree.Plain(ostree.Image{Tree: Tree(t, items), Contents: contents}, tree.NewBudget(tree.Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	lists := map[*tree.Xattr]bool{}
	for _, e := range plain.Entries {
		if e.Kind == tree.Regular {
			if _, ok := e.Xattr("user.one"); !ok {
				t.Fatalf("%s has the attributes %v", e.Path, e.Xattrs)
			}
			lists[&e.Xattrs[0]] = true
		}
	}
	if len(lists) != 2 {
		t.Errorf("%d lists of attributes, want one for each kind of file", len(lists))
	}
	if _, err := ostree.Plain(ostree.Image{Tree: Tree(t, items), Contents: contents},
		tree.NewBudget(tree.Limits{MetaBytes: 500})); !errors.Is(err,
		tree.ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
	if _, err := ostree.Plain(ostree.Image{Tree: Tree(t, items), Contents: contents},
		tree.NewBudget(tree.Limits{Memory: 100})); !errors.Is(err,
		tree.ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
}
