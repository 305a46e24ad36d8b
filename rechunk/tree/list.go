package tree

import (
	"slices"
	"strings"
)

// list gives the entries of all objects, and the links to objects of lower layers, in ascending path order. Implied
// directories are left out when skipImplied is set.
func (f *memfs) list(skipImplied bool) ([]Entry, []Link, error) {
	out := make([]Entry, 0, f.names+1)
	var links []Link
	made := int64(0) // bytes of paths that are not those of the entries
	err := f.each(skipImplied, func(e *Entry, n *inode) {
		if e.Path != n.entry.Path {
			made += int64(len(e.Path))
		}
		if n.lower != "" {
			links = append(links, Link{e.Path, n.lower})
			return
		}
		out = append(out, *e)
	})
	if err == nil {
		err = f.hold(made)
	}
	if len(out) == 0 {
		out = nil // as an index reads back
	}
	return out, links, err
}

// each visits all paths in ascending order, hardlink groups named by their first path. The entry is the visitor's only until
// it returns. Many short names can lead below a long path, so that the sum of the lengths has a limit of its own.
func (f *memfs) each(skipImplied bool, visit func(e *Entry, n *inode)) error {
	l := &lister{skipImplied: skipImplied, visit: visit, left: f.lim.MetaBytes, names: map[*inode]int{},
		first: map[*inode]string{}}
	l.count(f.root)
	l.show(".", f.root)
	if l.below(".", f.root); l.left < 0 {
		return OverLimit("bytes of paths", f.lim.MetaBytes)
	}
	return nil
}

// lister goes through a memfs. Limits.Depth bounds the depth, and with it the recursion.
type lister struct {
	skipImplied bool
	visit       func(e *Entry, n *inode)
	left        int64          // bytes of paths that may still come
	names       map[*inode]int // of objects that may have several
	first       map[*inode]string
	entry       Entry // the visitor's
}

// count counts the names of shared objects.
func (l *lister) count(dir *inode) {
	for _, n := range dir.children {
		if n.shared {
			l.names[n]++
		}
		l.count(n)
	}
}

// show has a path visited.
func (l *lister) show(path string, n *inode) {
	if n.implied && l.skipImplied {
		return
	}
	l.entry = *n.entry
	l.entry.Path, l.entry.Link = path, ""
	if l.names[n] > 1 {
		if l.first[n] == "" {
			l.first[n] = path
		}
		l.entry.Link = l.first[n]
	}
	l.visit(&l.entry, n)
}

// below shows all that lies in a directory.
func (l *lister) below(dir string, n *inode) {
	for _, s := range steps(n) {
		name, inside := strings.CutSuffix(s.key, "/")
		// The name that an object was given mostly is its path: no need for another copy.
		p := s.node.entry.Path
		if !isJoin(p, dir, name) {
			p = join(dir, name)
		}
		if inside {
			l.below(p, s.node)
		} else if l.left -= int64(len(p)); l.left >= 0 {
			l.show(p, s.node)
		}
		if l.left < 0 {
			return
		}
	}
}

// step is a name in a directory, or all that lies below it: then its key ends with a slash. Keys order as the paths do.
type step struct {
	key  string
	node *inode
}

func steps(dir *inode) []step {
	out := make([]step, 0, len(dir.children))
	for name, n := range dir.children {
		out = append(out, step{name, n})
		if len(n.children) > 0 {
			out = append(out, step{name + "/", n})
		}
	}
	slices.SortFunc(out, func(a, b step) int { return strings.Compare(a.key, b.key) })
	return out
}

// isJoin reports whether a path is join(dir, name).
func isJoin(path, dir, name string) bool {
	if dir == "." {
		return path == name
	}
	return len(path) == len(dir)+1+len(name) && path[len(dir)] == '/' && path[:len(dir)] == dir && path[len(dir)+1:] == name
}
