package tree

import "strings"

// maxSymlinks is the number of symlinks that resolving one path may follow, as in Linux.
const maxSymlinks = 40

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
		return spot{}, limitError("bytes of a path through symlinks", f.lim.Path)
	}
	s.name = base
	return s, nil
}

// walk follows a clean path to a directory.
func (f *memfs) walk(p string, mode walkMode) (spot, error) {
	var nodeBuf [16]*inode
	var nameBuf [16]string
	// nodes are the directories from the root to the current one, nil where there is none; names are the steps between them.
	nodes, names := append(nodeBuf[:0], f.root), nameBuf[:0]
	links, size := 0, 0
	for rest := p; rest != ""; {
		part, after, _ := strings.Cut(rest, "/")
		rest = after
		if links > 0 {
			if f.steps++; f.steps > maxSteps(f.lim) {
				return spot{}, limitError("path components through symlinks", maxSteps(f.lim))
			}
		}
		switch part {
		case "", ".":
			continue
		case "..":
			if last := len(names) - 1; last >= 0 {
				size -= len(names[last]) + 1
				nodes, names = nodes[:last+1], names[:last]
			}
			continue
		}
		next, err := f.enter(nodes[len(nodes)-1], part, mode)
		if err != nil {
			return spot{}, err
		}
		if next != nil && next.entry.Kind == Symlink {
			if links++; links > maxSymlinks {
				return spot{}, invalid("too many symlinks in %q", clip(p))
			}
			if strings.HasPrefix(next.entry.Target, "/") {
				nodes, names, size = nodes[:1], names[:0], 0
			}
			rest = next.entry.Target + "/" + rest
			continue
		}
		if len(names)+2 > f.lim.Depth { // the name in this directory is one more component
			return spot{}, limitError("path depth", f.lim.Depth)
		}
		if size += len(part) + 1; size > f.lim.Path {
			return spot{}, limitError("bytes of a path through symlinks", f.lim.Path)
		}
		nodes, names = append(nodes, next), append(names, part)
	}
	s := spot{dir: nodes[len(nodes)-1], real: p}
	if links > 0 {
		s.real = "."
		if len(names) > 0 {
			s.real = strings.Join(names, "/")
		}
	}
	return s, nil
}

// maxSteps bounds the work of following symlinks: a layer of small headers could ask for endless walks otherwise.
func maxSteps(lim Limits) int { return 1<<16 + 64*lim.Entries }

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
		return nil, invalid("something lies below %q, which is a %s", clip(name), next.kind())
	case reservedName(name) && !(dir == f.root && strings.HasPrefix(name, aufsPrefix)):
		return nil, invalid("something lies below the whiteout %q", clip(name))
	case next != nil:
		f.remove(spot{dir: dir, name: name})
	}
	next = impliedDir()
	return next, f.add(dir, name, next)
}
