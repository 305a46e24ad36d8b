package tree

import (
	"fmt"
	"strings"
)

// maxSymlinks is the number of symlinks that resolving one path may follow, as in Linux.
const maxSymlinks = 40

// How much work it may be to follow symlinks, in path components: a layer of small headers could ask for endless walks
// otherwise.
const (
	maxSteps       = 1 << 16
	stepsPerHeader = 64
)

// spot is a place in a directory: where a name is or will be.
type spot struct {
	dir  *inode // nil if the directory does not exist
	real string // the directory's path with all symlinks resolved
	name string // "" for the root itself
}

func (s spot) path() string {
	if s.name == "" {
		return "."
	}
	return join(s.real, s.name)
}

// walkMode says what happens to directories that are missing on the way.
type walkMode uint8

const (
	probe     walkMode = iota // nothing: what is below them does not exist
	makeDirs                  // implied ones are made; a file in the way is an error
	forceDirs                 // implied ones are made, and replace a file in the way
)

// locate finds the place of a clean path: its parent directories are followed through symlinks, its last component is not.
// Behind symlinks that go in circles nothing exists.
func (f *memfs) locate(p string, mode walkMode) (spot, error) {
	if p == "." {
		return spot{dir: f.root, real: "."}, nil
	}
	dir, base := split(p)
	s := f.lastSpot
	if s.dir == nil || dir != f.lastDir {
		var err error
		if s, err = f.walk(dir, mode); err != nil {
			return spot{}, err
		}
		if s.dir != nil {
			f.lastDir, f.lastSpot = dir, s
		}
	}
	if len(s.real)+1+len(base) > f.lim.Path {
		return spot{}, OverLimit("bytes of a path through symlinks", f.lim.Path)
	}
	s.name = base
	return s, nil
}

// walk follows a clean path to a directory.
func (f *memfs) walk(p string, mode walkMode) (spot, error) {
	var nodes [16]*inode
	var names [16]string
	at := route{nodes: append(nodes[:0], f.root), names: names[:0]}
	links := 0
	for rest := p; rest != ""; {
		part, after, _ := strings.Cut(rest, "/")
		rest = after
		if links > 0 {
			if f.steps++; f.steps > maxSteps+stepsPerHeader*f.headers {
				return spot{}, OverLimit("path components through symlinks", maxSteps+stepsPerHeader*f.headers)
			}
		}
		switch part {
		case "", ".":
			continue
		case "..":
			at.up()
			continue
		}
		before := f.names
		next, err := f.enter(at.dir(), part, mode)
		if err != nil {
			return spot{}, err
		}
		if links > 0 && mode == forceDirs && f.names > before {
			f.budget.Dispute(fmt.Sprintf("%q, below a symlink that leads nowhere", clip(p)))
		}
		if next != nil && next.entry.Kind == Symlink {
			if links++; links > maxSymlinks {
				if mode == probe {
					return spot{real: p}, nil
				}
				return spot{}, Invalidf("too many symlinks in %q", p)
			}
			if strings.HasPrefix(next.entry.Target, "/") {
				at = route{nodes: at.nodes[:1], names: at.names[:0]}
			}
			rest = next.entry.Target + "/" + rest
			continue
		}
		if err := at.down(next, part, f.lim); err != nil {
			return spot{}, err
		}
	}
	if links == 0 {
		return spot{dir: at.dir(), real: p}, nil
	}
	return spot{dir: at.dir(), real: at.path()}, nil
}

// route is the way from the root to a directory, without symlinks.
type route struct {
	nodes []*inode // the directories, the root first, nil where there is none
	names []string // the steps between them
	size  int      // length of the names, with a slash after each
}

func (r *route) dir() *inode { return r.nodes[len(r.nodes)-1] }

func (r *route) path() string {
	if len(r.names) == 0 {
		return "."
	}
	return strings.Join(r.names, "/")
}

// up goes to the parent directory, which is the root itself at the root.
func (r *route) up() {
	if last := len(r.names) - 1; last >= 0 {
		r.size -= len(r.names[last]) + 1
		r.nodes, r.names = r.nodes[:last+1], r.names[:last]
	}
}

// down goes to a directory below. What lies in it has one component more.
func (r *route) down(n *inode, name string, lim Limits) error {
	r.nodes, r.names, r.size = append(r.nodes, n), append(r.names, name), r.size+len(name)+1
	switch {
	case len(r.names)+1 > lim.Depth:
		return OverLimit("path depth", lim.Depth)
	case r.size > lim.Path:
		return OverLimit("bytes of a path through symlinks", lim.Path)
	}
	return nil
}

// enter returns the directory or symlink with a name, made if the mode says so, or nil.
func (f *memfs) enter(dir *inode, name string, mode walkMode) (*inode, error) {
	var next *inode
	if dir != nil {
		next = dir.children[name]
	}
	switch {
	case next != nil && (next.entry.Kind == Dir || next.entry.Kind == Symlink):
		return next, nil
	case mode == probe:
		return nil, nil
	case next != nil && mode == makeDirs:
		return nil, Invalidf("something lies below %q, which is a %s", name, next.kind())
	case reservedName(name) && !(dir == f.root && strings.HasPrefix(name, aufsPrefix)):
		return nil, Invalidf("something lies below the whiteout %q", name)
	case next != nil:
		f.remove(spot{dir: dir, name: name})
	}
	next = impliedDir()
	return next, f.add(dir, name, next)
}
