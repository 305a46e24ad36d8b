package rootfs_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

func view() (*tree.Tree, *rootfs.View) {
	t, c := treetest.New(treetest.Files{
		"lib":           treetest.Link("usr/lib"),
		"usr/lib/a":     "a",
		"usr/lib/b":     treetest.Link("a"),
		"usr/lib/up":    treetest.Link("../../../../etc"),
		"usr/lib64":     treetest.Link("/lib"),
		"etc/conf":      "c",
		"etc-old/conf":  "o",
		"loop":          treetest.Link("pool"),
		"pool":          treetest.Link("loop"),
		"dangling":      treetest.Link("nowhere/x"),
		"usr/lib/dir/x": "x",
	})
	return t, rootfs.New(t, c)
}

func TestLocate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ path, locate, follow string }{
		{"usr/lib/a", "usr/lib/a", "usr/lib/a"},
		{"/lib/a", "usr/lib/a", "usr/lib/a"},
		{"//lib/./a", "usr/lib/a", "usr/lib/a"},
		{"/usr/lib64/a", "usr/lib/a", "usr/lib/a"},
		{"/lib/b", "usr/lib/b", "usr/lib/a"},
		{"/lib", "lib", "usr/lib"},
		{"/lib/", "usr/lib", "usr/lib"},
		{"lib/up/conf", "etc/conf", "etc/conf"},
		{"lib/up/../usr", "usr", "usr"},
		{"../../etc/conf", "etc/conf", "etc/conf"},
		{"/", ".", "."},
		{"", ".", "."},
		{"loop", "loop", ""},
		{"loop/x", "", ""},
		{"dangling", "dangling", ""},
		{"etc/conf/x", "", ""},
		{"absent", "", ""},
		{strings.Repeat("a/", 20000), "", ""},
	} {
		tr, v := view()
		for range 2 { // the second time from memory
			if got := found(tr)(v.Locate(tc.path)); got != tc.locate {
				t.Errorf("Locate(%.40q) = %q, want %q", tc.path, got, tc.locate)
			}
			if got := found(tr)(v.Follow(tc.path)); got != tc.follow {
				t.Errorf("Follow(%.40q) = %q, want %q", tc.path, got, tc.follow)
			}
		}
	}
}

func found(t *tree.Tree) func(int, bool) string {
	return func(i int, ok bool) string {
		if !ok {
			return ""
		}
		return t.Entries[i].Path
	}
}

func TestChildren(t *testing.T) {
	t.Parallel()
	_, v := view()
	for _, tc := range []struct {
		dir  string
		want []string
	}{
		{"etc", []string{"etc/conf"}},
		{"lib", []string{"usr/lib/a", "usr/lib/b", "usr/lib/dir", "usr/lib/up"}},
		{"/", []string{"dangling", "etc", "etc-old", "lib", "loop", "pool", "usr"}},
		{"etc/conf", nil},
		{"absent", nil},
	} {
		var got []string
		for e := range v.Children(tc.dir, "") {
			got = append(got, e.Path)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("Children(%q) (-want +got):\n%s", tc.dir, diff)
		}
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	_, v := view()
	if b, err := v.ReadFile(t.Context(), "/lib/b", 1); err != nil || string(b) != "a" {
		t.Errorf("ReadFile through a link = %q, %v", b, err)
	}
	if _, err := v.ReadFile(t.Context(), "/lib/b", 0); !errors.Is(err, rootfs.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for _, p := range []string{"etc", "loop", "absent"} {
		if _, err := v.ReadFile(t.Context(), p, 10); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadFile(%q): %v, want fs.ErrNotExist", p, err)
		}
	}
	tr, _ := treetest.New(treetest.Files{"f": treetest.Sized(3)})
	if _, err := rootfs.New(tr, treetest.Contents{}).ReadFile(t.Context(), "f", 10); !errors.Is(err, tree.ErrNoContent) {
		t.Errorf("content that is not there: %v", err)
	}
}
