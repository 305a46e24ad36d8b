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

// Reference flattens layers, lowest first, by replaying every header on a map of all paths. It is slow and simple, shares no
// code with tree.Flatten, and knows only well-formed items: names are clean, attributes are star's.
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
	lower, mine := maps.Clone(fs), map[string]string{}
	fs.whiteouts(items)
	late := map[*object]string{} // links to what comes later in the layer
	for _, i := range items {
		if strings.HasPrefix(path.Base(i.Name), ".wh.") {
			continue
		}
		at, err := fs.resolve(i.Name, mine)
		if err != nil {
			return err
		}
		if mine[at] != "" && mine[at] != i.Name {
			return fmt.Errorf("%s has two names in one layer", at)
		}
		if i.Typeflag != tar.TypeLink {
			if err := fs.put(at, &object{entryOf(i)}); err != nil {
				return err
			}
			mine[at] = i.Name
			continue
		}
		target, err := fs.resolve(i.Linkname, nil)
		if err != nil {
			return fmt.Errorf("link %s to nothing: %w", at, err)
		}
		if mine[target] != "" && mine[target] != path.Clean(i.Linkname) {
			return fmt.Errorf("%s has two names in one layer", target)
		}
		o := fs[target]
		if mine[target] == "" {
			below, err := lower.resolve(i.Linkname, nil)
			if err != nil {
				return err
			}
			o = lower[below]
		}
		if o == nil {
			o = &object{}
			late[o] = target
		}
		if o.e.Kind == tree.Dir || at != target && (tree.Within(target, at) || tree.Within(i.Linkname, i.Name)) {
			return fmt.Errorf("link %s to a directory", at)
		}
		if err := fs.put(at, o); err != nil {
			return err
		}
		mine[at] = i.Name
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

// whiteouts hides paths, from the root downwards. Directories of the layer take the places of what is no directory.
func (fs reference) whiteouts(items []Item) {
	doing := map[string][]string{} // path → what happens there
	for _, i := range items {
		dir, base := path.Dir(i.Name), path.Base(i.Name)
		switch name, ok := strings.CutPrefix(base, ".wh."); {
		case base == ".wh..wh..opq":
			doing[dir] = append(doing[dir], "empty")
		case ok:
			doing[path.Join(dir, name)] = append(doing[path.Join(dir, name)], "remove")
		case i.Typeflag == tar.TypeDir:
			doing[i.Name] = append(doing[i.Name], "replace")
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(doing), tree.ComparePaths) {
		at, err := fs.resolve(p, nil)
		if err != nil {
			continue
		}
		isDir := fs[at] != nil && fs[at].e.Kind == tree.Dir
		for _, what := range doing[p] {
			if what == "remove" || what == "empty" && isDir {
				fs.removeBelow(at)
			}
			if what == "remove" || what == "replace" && !isDir && hasWhiteout(items) {
				delete(fs, at)
			}
		}
	}
}

func hasWhiteout(items []Item) bool { return slices.ContainsFunc(items, isWhiteout) }

// put places an object; a file of this layer with something below it is an error by resolve.
func (fs reference) put(at string, o *object) error {
	if o.e.Kind != tree.Dir || fs[at] == nil || fs[at].e.Kind != tree.Dir {
		if at == "." {
			return errNotDir
		}
		fs.removeBelow(at)
	}
	fs[at] = o
	return nil
}

func (fs reference) removeBelow(dir string) {
	maps.DeleteFunc(fs, func(p string, _ *object) bool { return p != dir && tree.Within(p, dir) })
}

// resolve follows the symlinks in a path's directory. With mine, the paths of the layer at work, missing directories are
// made, and files of lower layers give way to them.
func (fs reference) resolve(name string, mine map[string]string) (string, error) {
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
		case mine != nil && o != nil && o.e.Kind != tree.Dir && mine[next] != "":
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
