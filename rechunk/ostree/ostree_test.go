package ostree_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/ostree/ostreetest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// attributed gives the files of a commit by path in the image, with their attributes. Those that end in a slash are
// directories, those with a "=" in front are empty.
func attributed() map[string][]tree.Xattr {
	return map[string][]tree.Xattr{
		"./":                    {{Name: "user.root", Value: "of the root"}},
		"usr/":                  nil,
		"usr/dir/":              {{Name: "user.a", Value: "1"}, {Name: "user.b", Value: "\x00\xff="}},
		"usr/dir/below/":        {{Name: "user.a", Value: "1"}},
		"usr/dir/none/":         nil,
		"usr/dir/x.file":        {{Name: "user.f", Value: "f"}},
		"usr/same/":             {{Name: "user.a", Value: "1"}},
		"usr/large/":            {{Name: "user.large", Value: strings.Repeat("x", 300)}},
		"etc/":                  {{Name: "user.etc", Value: "etc"}},
		"=etc/empty":            {{Name: "user.e", Value: "empty"}},
		"=usr/empty":            {{Name: "user.e", Value: "empty"}}, // the same object
		"=usr/empty-too":        {{Name: "user.e", Value: "other"}},
		"=usr/plain":            nil,
		"usr/sysroot/":          {{Name: "user.no", Value: "not the one"}},
		"=usr/sysroot/empty":    {{Name: "user.no", Value: "not the one"}},
		"sysroot/":              {{Name: "user.sysroot", Value: "s"}},
		"var/":                  nil,
		"var/lib/":              {{Name: "user.var", Value: "v"}},
		"=var/lib/empty":        {{Name: "user.var", Value: "v"}},
		"usr/file":              {{Name: "user.f", Value: "f"}},
		"usr/file-without":      nil,
		"usr/dir/below/deeper/": {{Name: "user.deep", Value: "d"}},
	}
}

// build makes the files as ostree has them.
func build(t *testing.T, files map[string][]tree.Xattr) string {
	t.Helper()
	root := t.TempDir()
	var names []string
	for name := range files {
		names = append(names, strings.TrimPrefix(name, "="))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		p := filepath.Join(root, strings.Replace(name, "etc/", "usr/etc/", 1))
		var err error
		switch _, empty := files["="+name]; {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		case empty:
			err = os.WriteFile(p, nil, 0o640)
		default:
			err = os.WriteFile(p, []byte(name), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range slices.Concat(files[name], files["="+name]) {
			if err := syscall.Setxattr(p, x.Name, []byte(x.Value), 0); err != nil {
				t.Skipf("no attributes here: %v", err)
			}
		}
	}
	return root
}

// What a real ostree committed comes back with all attributes: those of directories and empty files, too.
func TestPlainOfOstree(t *testing.T) {
	t.Parallel()
	files := attributed()
	commit, layers := ostreetest.Encapsulate(t, build(t, files))
	contents := Contents{}
	for _, l := range layers {
		for _, i := range l {
			contents.Add(i.Body)
		}
	}
	for name, c := range map[string]struct {
		commit  string
		derived []Item
		change  map[string][]tree.Xattr // by path; nil for what is gone
	}{
		"as it is":                   {commit: commit},
		"without the label":          {},
		"with another label":         {commit: strings.Repeat("0", 64)},
		"a directory is named again": {commit, []Item{Dir("usr/dir"), Dir("usr/dir/new")}, nil},
		"a directory is made anew": {commit, []Item{Whiteout("usr/dir"), Dir("usr/dir"), Dir("usr/dir/below")},
			map[string][]tree.Xattr{"usr/dir/": nil, "usr/dir/below/": nil}},
		"a directory is emptied": {commit, []Item{Dir("usr/dir"), Opaque("usr/dir"), Dir("usr/dir/below")},
			map[string][]tree.Xattr{"usr/dir/below/": nil}},
		"an empty file is another": {commit, []Item{File("usr/empty", "")}, map[string][]tree.Xattr{"=usr/empty": nil}},
		"an empty file is linked": {commit, []Item{File("usr/plain", ""), Hardlink("usr/empty", "usr/plain")},
			map[string][]tree.Xattr{"=usr/empty": nil}},
		"an empty file has its own": {commit, []Item{File("usr/empty", "").WithXattr("user.own", "x")},
			map[string][]tree.Xattr{"=usr/empty": {{Name: "user.own", Value: "x"}}}},
		"a directory is a file": {commit, []Item{File("usr/same", "")}, map[string][]tree.Xattr{"usr/same/": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			encapsulated := append(slices.Clone(layers[:]), c.derived)
			full, err := Reference(encapsulated...)
			if err != nil {
				t.Fatal(err)
			}
			image := ostree.Image{Tree: full, Contents: contents, Commit: c.commit}
			if c.derived != nil {
				image.Derived = []*tree.Index{Index(t, c.derived...)}
			}
			plain, err := ostree.Plain(image, tree.NewBudget(tree.Limits{}))
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range files {
				path := strings.TrimSuffix(strings.TrimPrefix(name, "="), "/")
				if changed, ok := c.change[name]; ok {
					want = changed
				}
				if e := plain.Lookup(path); e == nil {
					if _, gone := c.change[name]; !gone && len(c.change) == 0 {
						t.Errorf("%s is gone", path)
					}
				} else if !slices.Equal(e.Xattrs, want) {
					t.Errorf("%s has the attributes %v, want %v", path, e.Xattrs, want)
				}
			}
		})
	}
}
