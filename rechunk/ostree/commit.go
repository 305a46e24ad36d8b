package ostree

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Hardlinks lead from a file to its object, and so to its attributes, but there are none to directories, and ostree-ext
// writes empty files as files of their own. What attributes these have, the commit says: its directories (dirtree objects)
// name the metadata (dirmeta) of each directory and the object of each file.

// maxObject bounds one dirtree or commit object, in bytes: a directory of some 700,000 files.
const maxObject = 32 << 20

// commitXattrs finds the attributes that the commit gives to directories and empty files: position in the tree → attributes.
// It reads directories of the commit only when there is any such attribute, which a label is not where the policy gives one.
func commitXattrs(i Image, b *tree.Budget) (map[int][]tree.Xattr, error) {
	w := &walk{Image: i, budget: b, out: map[int][]tree.Xattr{}}
	if err := w.attributes(); err != nil || len(w.dirs)+len(w.empty) == 0 {
		return nil, err
	}
	if !w.others {
		if own, err := i.unlabelled(); !own || err != nil {
			return nil, err
		}
	}
	root, err := w.root()
	if err != nil || root == nil {
		return nil, err
	}
	return w.out, w.walk(".", *root)
}

// walk goes through the directories of a commit, as far as the tree has them.
type walk struct {
	Image
	budget *tree.Budget
	dirs   map[Checksum][]tree.Xattr // of dirmeta objects that have any
	empty  map[Checksum][]tree.Xattr // of objects of empty files
	others bool                      // whether any of them has more than a label
	seen   int                       // names in the directories so far
	out    map[int][]tree.Xattr
}

// attributes reads those of all directories' metadata and of the objects of empty files.
func (w *walk) attributes() error {
	w.dirs, w.empty = map[Checksum][]tree.Xattr{}, map[Checksum][]tree.Xattr{}
	start, _ := w.Tree.Find(strings.TrimSuffix(objectsDir, "/"))
	for k := start; k < len(w.Tree.Entries); k++ {
		e := &w.Tree.Entries[k]
		if !tree.Within(e.Path, "sysroot") {
			break
		}
		sum, kind, ok := objectOf(e.Path)
		if !ok || e.Kind != tree.Regular {
			continue
		}
		into, holder, skip := w.dirs, e, dirmetaHeader
		if kind == "file" && e.Size == 0 {
			into, holder, skip = w.empty, attributesOf(w.Tree, e.Path), 0
		} else if kind != "dirmeta" {
			continue
		}
		if holder == nil {
			continue
		}
		x, err := readXattrs(holder, w.Contents, skip)
		if err == nil {
			x, err = w.budget.Xattrs(x)
		}
		if err != nil {
			return err
		}
		if len(x) > 0 {
			into[sum] = x
			w.others = w.others || len(x) > 1 || !isLabel(x[0])
		}
	}
	return nil
}

// root finds the commit: the one that the image's label names, or the only one. Nil when there is none.
func (w *walk) root() (*directory, error) {
	if sum, err := hex.DecodeString(w.Commit); err == nil && len(sum) == len(Checksum{}) {
		if b, err := w.object(Checksum(sum), "commit"); err == nil {
			return parseCommit(b)
		} else if !errors.Is(err, errNoObject) {
			return nil, err
		}
	}
	var found []Checksum
	start, _ := w.Tree.Find(strings.TrimSuffix(objectsDir, "/"))
	for k := start; k < len(w.Tree.Entries) && tree.Within(w.Tree.Entries[k].Path, "sysroot"); k++ {
		if sum, kind, ok := objectOf(w.Tree.Entries[k].Path); ok && kind == "commit" {
			found = append(found, sum)
		}
	}
	if len(found) != 1 {
		return nil, nil
	}
	b, err := w.object(found[0], "commit")
	if err != nil {
		return nil, err
	}
	return parseCommit(b)
}

// walk notes the attributes in a directory of the tree. Limits.Depth bounds the tree, and with it the recursion.
func (w *walk) walk(path string, d directory) error {
	k, ok := w.Tree.Find(path)
	if !ok || w.Tree.Entries[k].Kind != tree.Dir {
		return nil
	}
	if x := w.dirs[d.meta]; len(x) > 0 && !w.hidden(path) {
		w.out[k] = x
	}
	if path == "sysroot" {
		return nil // an image has something else in there
	}
	b, err := w.object(d.contents, "dirtree")
	if err != nil {
		return err
	}
	files, dirs, err := parseDirtree(b)
	if err != nil {
		return err
	}
	if w.seen += len(files) + len(dirs); w.seen > w.budget.Limits().Entries {
		return tree.OverLimit("names in the directories of an ostree commit", w.budget.Limits().Entries)
	}
	for _, f := range files {
		x := w.empty[f.object]
		if len(x) == 0 {
			continue
		}
		p := w.below(path, f.name)
		if k, ok := w.Tree.Find(p); ok && isEmptyFile(&w.Tree.Entries[k]) && !w.hidden(p) && !w.replaced(p) {
			w.out[k] = x
		}
	}
	for _, c := range dirs {
		if err := w.walk(w.below(path, c.name), c.directory); err != nil {
			return err
		}
	}
	return nil
}

func isEmptyFile(e *tree.Entry) bool { return e.Kind == tree.Regular && e.Size == 0 && e.Link == "" }

// below is where an image has what a commit has in one of its directories: /usr/etc in /etc, if it has that.
func (w *walk) below(dir, name string) string {
	switch {
	case dir == ".":
		return name
	case dir == "usr" && name == "etc" && w.Tree.Lookup("etc") != nil:
		return "etc"
	}
	return dir + "/" + name
}

// hidden reports whether a derived layer removed a path, so that what is there is another one.
func (w *walk) hidden(path string) bool {
	for _, x := range w.Derived {
		for p := path; ; p = tree.Parent(p) {
			if contains(x.Whiteouts, p) || p != path && contains(x.Opaque, p) {
				return true
			}
			if p == "." {
				break
			}
		}
	}
	return false
}

// replaced reports whether a derived layer has a file of its own at a path.
func (w *walk) replaced(path string) bool {
	for _, x := range w.Derived {
		t := tree.Tree{Entries: x.Entries}
		if _, ok := t.Find(path); ok {
			return true
		}
		for _, l := range x.Links {
			if l.Path == path {
				return true
			}
		}
	}
	return false
}

var errNoObject = errors.New("no such object")

// object reads an object of the repository.
func (w *walk) object(sum Checksum, kind string) ([]byte, error) {
	name := objectPath(sum, kind)
	e := w.Tree.Lookup(name)
	switch {
	case e == nil || e.Kind != tree.Regular:
		return nil, tree.Invalidf("%w: %s", errNoObject, name)
	case e.Size > maxObject:
		return nil, tree.OverLimit(fmt.Sprintf("bytes in %q", name), maxObject)
	}
	r, err := w.Contents.Open(e.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxObject))
}
