package treetest

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Reference flattens layers, lowest first, by replaying every header on a map of all paths. It is slow and simple, shares no code
// with tree.Flatten, and knows only well-formed items: names are clean, attributes are star's.
func Reference(layers ...[]Item) (*tree.Tree, error) {
	fs := reference{".": {e: tree.Entry{Kind: tree.Dir, Mode: 0o755}}}
	for _, items := range layers {
		if err := fs.apply(items); err != nil {
			return nil, err
		}
	}
	return fs.tree(), nil
}

// object is what one or several paths lead to.
type object struct {
	e tree.Entry
}

type reference map[string]*object

var errNotDir = errors.New("not a directory")

func (fs reference) apply(items []Item) error {
	lower, mine := maps.Clone(fs), map[string]bool{}
	if err := fs.whiteouts(items); err != nil {
		return err
	}
	late := map[*object]string{} // links to what comes later in the layer
	for _, i := range items {
		if strings.HasPrefix(path.Base(i.Name), ".wh.") {
			continue
		}
		at, err := fs.resolve(i.Name, mine)
		if err != nil {
			return err
		}
		if i.Typeflag != tar.TypeLink {
			if err := fs.put(at, &object{entryOf(i)}, mine); err != nil {
				return err
			}
			continue
		}
		target, err := fs.resolve(i.Linkname, nil)
		if err != nil {
			return err
		}
		o := fs[target]
		if !mine[target] {
			o = lower[target]
		}
		if o == nil {
			o = &object{}
			late[o] = target
		}
		if o.e.Kind == tree.Dir || at != target && tree.Within(target, at) {
			return fmt.Errorf("link %s to a directory", at)
		}
		if err := fs.put(at, o, mine); err != nil {
			return err
		}
	}
	for p, o := range fs {
		if target, ok := late[o]; ok {
			if fs[target] == nil || fs[target].e.Kind == tree.Dir || fs[target] == o {
				return fmt.Errorf("link %s to nothing", p)
			}
			fs[p] = fs[target]
		}
	}
	return nil
}

// whiteouts hides paths, after directories of the layer have taken the places of what is no directory.
func (fs reference) whiteouts(items []Item) error {
	any := slices.ContainsFunc(items, func(i Item) bool { return strings.HasPrefix(path.Base(i.Name), ".wh.") })
	for _, i := range items {
		at, err := fs.resolve(i.Name, nil)
		if err != nil {
			return err
		}
		if o := fs[at]; any && i.Typeflag == tar.TypeDir && o != nil && o.e.Kind != tree.Dir {
			fs.removeBelow(at)
			delete(fs, at)
		}
	}
	var paths []string
	for _, i := range items {
		dir, base := path.Dir(i.Name), path.Base(i.Name)
		if base != ".wh..wh..opq" {
			if name, ok := strings.CutPrefix(base, ".wh."); ok {
				paths = append(paths, path.Join(dir, name))
			}
			continue
		}
		at, err := fs.resolve(dir, nil)
		if err != nil {
			return err
		}
		if fs[at] != nil && fs[at].e.Kind == tree.Dir {
			fs.removeBelow(at)
		}
	}
	slices.Sort(paths)
	for _, p := range paths {
		at, err := fs.resolve(p, nil)
		if err != nil {
			return err
		}
		fs.removeBelow(at)
		delete(fs, at)
	}
	return nil
}

// put places an object; a file of this layer with something below it is an error by resolve.
func (fs reference) put(at string, o *object, mine map[string]bool) error {
	if o.e.Kind != tree.Dir || fs[at] == nil || fs[at].e.Kind != tree.Dir {
		if at == "." {
			return errNotDir
		}
		fs.removeBelow(at)
	}
	fs[at] = o
	mine[at] = true
	return nil
}

func (fs reference) removeBelow(dir string) {
	maps.DeleteFunc(fs, func(p string, _ *object) bool { return p != dir && tree.Within(p, dir) })
}

// resolve follows the symlinks in a path's directory. With mine, the paths of the layer at work, missing directories are made,
// and files of lower layers give way to them.
func (fs reference) resolve(name string, mine map[string]bool) (string, error) {
	if name == "." {
		return ".", nil
	}
	cur := "."
	todo := strings.Split(path.Dir(name), "/")
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			cur = path.Dir(cur)
			continue
		}
		next := path.Join(cur, part)
		o := fs[next]
		switch {
		case o != nil && o.e.Kind == tree.Symlink:
			if links++; links > 40 {
				return "", errors.New("symlink loop")
			}
			if path.IsAbs(o.e.Target) {
				cur = "."
			}
			todo = append(strings.Split(o.e.Target, "/"), todo...)
			continue
		case mine != nil && o != nil && o.e.Kind != tree.Dir && mine[next]:
			return "", errNotDir
		case mine != nil && (o == nil || o.e.Kind != tree.Dir):
			fs[next] = &object{tree.Entry{Kind: tree.Dir, Mode: 0o755}}
		}
		cur = next
	}
	return path.Join(cur, path.Base(name)), nil
}

func (fs reference) tree() *tree.Tree {
	names := map[*object][]string{}
	paths := slices.SortedFunc(maps.Keys(fs), tree.ComparePaths)
	for _, p := range paths {
		names[fs[p]] = append(names[fs[p]], p)
	}
	t := &tree.Tree{}
	for _, p := range paths {
		e := fs[p].e
		e.Path = p
		if g := names[fs[p]]; len(g) > 1 && e.Kind != tree.Dir {
			e.Link = g[0]
		}
		t.Entries = append(t.Entries, e)
	}
	return t
}

func entryOf(i Item) tree.Entry {
	kinds := map[byte]tree.Kind{
		tar.TypeDir: tree.Dir, tar.TypeReg: tree.Regular, tar.TypeSymlink: tree.Symlink, tar.TypeChar: tree.Char,
		tar.TypeBlock: tree.Block, tar.TypeFifo: tree.Fifo,
	}
	e := tree.Entry{
		Kind: kinds[i.Typeflag], Mode: uint32(i.Mode), UID: i.Uid, GID: i.Gid, Target: i.Linkname,
		Major: i.Devmajor, Minor: i.Devminor, Sec: i.ModTime.Unix(), Nsec: int32(i.ModTime.Nanosecond()),
	}
	if e.Kind == tree.Regular {
		e.Size, e.Digest = int64(len(i.Body)), tree.Digest(sha256.Sum256([]byte(i.Body)))
	}
	for k, v := range i.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			e.Xattrs = append(e.Xattrs, tree.Xattr{Name: name, Value: v})
		}
	}
	slices.SortFunc(e.Xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return e
}
