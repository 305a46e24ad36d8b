package rechunk

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// ComponentsNote is the annotation of a layer of objects that names what is in it, as ostree-ext writes it.
const ComponentsNote = "ostree.components"

// repositoryConfig makes a repository of the objects.
const repositoryConfig = "[core]\nrepo_version=1\nmode=bare-split-xattrs\n"

// list gives a layer its objects: before the first name of each in the layer come its attributes and then the object, and
// all its names are hardlinks to it. Empty files are files of their own.
func (c *capsule) list(positions []int, whiteouts []string, contents tree.Contents) (*layer.List, error) {
	l, err := layer.NewList(c.tree, positions, whiteouts, c.contents(contents))
	if err != nil {
		return nil, err
	}
	w := &objectWriter{capsule: c, there: map[ostree.Checksum]bool{}, dirs: map[string]bool{}}
	return l.Expand(w.entries), nil
}

// objectWriter puts the objects of a layer before their names.
type objectWriter struct {
	*capsule
	there map[ostree.Checksum]bool
	dirs  map[string]bool
}

// entries are what a layer has for an entry of the tree.
func (w *objectWriter) entries(e *tree.Entry) []*tree.Entry {
	name := *e
	name.Xattrs = shown(e)
	if e.Path == "sysroot" {
		if w.dirs[e.Path] {
			return nil
		}
		w.dirs[e.Path] = true
	}
	i, _ := w.tree.Find(e.Path)
	sum := w.sums[i]
	if sum == (ostree.Checksum{}) {
		return []*tree.Entry{&name}
	}
	object := name
	object.Path = ostree.ObjectPath(sum)
	object.Link = object.Path
	switch {
	case isEmptyObject(e):
		name.Link = ""
	case !w.ownFile(i):
		name.Link, name.Xattrs = object.Path, nil
	}
	if w.there[sum] {
		return []*tree.Entry{&name}
	}
	w.there[sum] = true
	return append(w.above(object.Path), file(ostree.AttributesPath(sum), w.attrs[i]), &object, &name)
}

// above are the directories of an object that the layer does not have yet.
func (w *objectWriter) above(path string) []*tree.Entry {
	dir := tree.Parent(path)
	if w.dirs[dir] {
		return nil
	}
	w.dirs[dir] = true
	if dir == "sysroot" {
		return []*tree.Entry{w.sysroot()}
	}
	return append(w.above(dir), directory(dir))
}

// sysroot is the directory above the repository: the image's own, if it has one.
func (c *capsule) sysroot() *tree.Entry {
	own := c.tree.Lookup("sysroot")
	if own == nil {
		return directory("sysroot")
	}
	top := *own
	top.Xattrs = shown(own)
	return &top
}

// directory is the entry of a directory of a repository.
func directory(path string) *tree.Entry { return &tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755} }

// file is the entry of a file of a repository.
func file(path, content string) *tree.Entry {
	return &tree.Entry{Path: path, Kind: tree.Regular, Mode: 0o644, Size: int64(len(content)),
		Digest: sha256.Sum256([]byte(content))}
}

// commitList is the layer of the commit: the repository, the commit, its other objects of metadata, and all directories.
func (c *capsule) commitList(contents tree.Contents) (*layer.List, error) {
	root, _ := c.tree.Find(".")
	l, err := layer.NewList(c.tree, []int{root}, nil, c.contents(contents))
	if err != nil {
		return nil, err
	}
	return l.Expand(func(e *tree.Entry) []*tree.Entry {
		top := *e
		top.Xattrs = shown(e)
		out := append([]*tree.Entry{&top, c.sysroot()}, repository()...)
		for i := range c.commit {
			out = append(out, file(c.commit[i].Path(), string(c.commit[i].Data)))
		}
		for i := range c.tree.Entries {
			if e := &c.tree.Entries[i]; e.Kind == tree.Dir && e.Path != "." && e.Path != "sysroot" {
				dir := *e
				dir.Xattrs = shown(e)
				out = append(out, &dir)
			}
		}
		return out
	}), nil
}

// repository are the directories of a repository, and its configuration.
func repository() []*tree.Entry {
	paths := []string{"sysroot/ostree", "sysroot/ostree/repo", "sysroot/ostree/repo/objects"}
	for n := range 256 {
		paths = append(paths, fmt.Sprintf("sysroot/ostree/repo/objects/%02x", n))
	}
	for _, p := range []string{"extensions", "refs", "refs/heads", "refs/mirrors", "refs/remotes", "state", "tmp",
		"tmp/cache"} {
		paths = append(paths, "sysroot/ostree/repo/"+p)
	}
	var out []*tree.Entry
	for _, p := range paths {
		out = append(out, directory(p))
	}
	return append(out, file("sysroot/ostree/repo/config", repositoryConfig))
}

// view is what a layer of objects holds as the plan sees it: each name with the checksum of its object.
func (c *capsule) view(x *tree.Index) *tree.Index {
	out := &tree.Index{TarSize: x.TarSize, Whiteouts: slices.DeleteFunc(slices.Clone(x.Whiteouts), c.below)}
	objects := map[string]ostree.Checksum{} // by hardlink group
	there := map[ostree.Checksum]bool{}
	for i := range x.Entries {
		if sum, ok := ostree.FileObject(x.Entries[i].Path); ok {
			there[sum] = true
			if l := x.Entries[i].Link; l != "" {
				objects[l] = sum
			}
		}
	}
	names := map[string][]int{} // of each hardlink group
	for i := range x.Entries {
		e := x.Entries[i]
		if c.below(e.Path) {
			continue
		}
		if sum, ok := objects[e.Link]; ok {
			e.Digest, e.Xattrs = tree.Digest(sum), nil
		} else if k, ok := c.tree.Find(e.Path); ok && there[c.sums[k]] && c.like(&e, k) {
			e.Digest, e.Xattrs = tree.Digest(c.sums[k]), nil
		}
		if e.Link != "" {
			names[e.Link] = append(names[e.Link], len(out.Entries))
		}
		out.Entries = append(out.Entries, e)
	}
	for _, group := range names {
		for _, i := range group {
			out.Entries[i].Link = ""
			if len(group) > 1 {
				out.Entries[i].Link = out.Entries[group[0]].Path
			}
		}
	}
	return out
}

// below reports whether a path is one of the repository's; so is /sysroot itself in an image that has none.
func (c *capsule) below(path string) bool {
	return tree.Within(path, "sysroot") && (path != "sysroot" || c.tree.Lookup(path) == nil)
}

// like reports whether a file that is not linked to its object is what the tree wants at position k.
func (c *capsule) like(e *tree.Entry, k int) bool {
	want := c.tree.Entries[k]
	want.Xattrs = shown(&want)
	return e.Same(&want)
}

// check holds what a new layer has, as it was read back, to what was hashed: each object is the one that its checksum stands
// for.
func (c *capsule) check(x *tree.Index) error {
	t := tree.Tree{Entries: x.Entries}
	for i := range x.Entries {
		e := &x.Entries[i]
		sum, ok := ostree.FileObject(e.Path)
		if !ok {
			continue
		}
		k, known := c.first[sum]
		if !known {
			return fmt.Errorf("%w: %s is no object of the image", ErrNotSame, e.Path)
		}
		want := c.tree.Entries[k]
		want.Path, want.Xattrs = e.Path, shown(&want)
		attrs := t.Lookup(ostree.AttributesPath(sum))
		if !e.Same(&want) || attrs == nil || attrs.Digest != sha256.Sum256([]byte(c.attrs[k])) {
			return fmt.Errorf("%w: %s is not the object of %q", ErrNotSame, e.Path, want.Path)
		}
	}
	return nil
}

// notes are the annotations of a layer with the entries at these positions.
func componentNotes(o *pkgdb.Owners, entries []int) map[string]string {
	names := map[string]bool{}
	for _, i := range entries {
		names[strings.ReplaceAll(o.Components[o.Of[i]].ID, ",", "_")] = true
	}
	return map[string]string{ComponentsNote: strings.Join(slices.Sorted(maps.Keys(names)), ",")}
}
