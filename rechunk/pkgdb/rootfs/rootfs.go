// Package rootfs looks up and reads paths of a tree the way a kernel would below a chroot: through symbolic links, never
// above the root, with a bounded number of steps.
package rootfs

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrTooLarge is wrapped by errors about files that are longer than the caller allows.
var ErrTooLarge = errors.New("file too large")

// What one image may cost. A desktop of a million files takes three million steps and 60 MiB of text.
const (
	// MaxSteps bounds the lookups of a View: a step is a name looked up in the tree, and 64 bytes of a path.
	MaxSteps = 8 << 20
	// MaxText bounds what is read of a database's text files, in bytes.
	MaxText = 256 << 20
)

const (
	// maxLinks is how many symbolic links one lookup follows, as in Linux.
	maxLinks = 40
	// maxPath bounds a path, link targets spliced in, in bytes; Linux has 4096 for each.
	maxPath = 16 << 10
	// maxMemo bounds what the remembered directories take, in bytes; past it lookups get slower, not wrong.
	maxMemo = 16 << 20
	// memoEntry is what a remembered directory takes beside its name.
	memoEntry = 64
	// stepBytes is how many bytes of a path cost as much as a lookup.
	stepBytes = 64
)

// View is a tree seen as a filesystem. It remembers directories, so it must not be used by several goroutines at once.
type View struct {
	tree     *tree.Tree
	contents tree.Contents
	// memo maps a directory as it was asked for to its position in the tree, -1 for one that is not there.
	memo      map[string]int32
	memoBytes int
	steps     int   // taken
	text      int64 // bytes read
	err       error // what came over budget first
}

// New returns a view of t whose files' bytes come from contents.
func New(t *tree.Tree, contents tree.Contents) *View {
	return &View{tree: t, contents: contents, memo: make(map[string]int32)}
}

// Err returns an error that wraps installed.ErrBudget once the view's budget of steps or text is spent. Then nothing is
// found and nothing can be read any more.
func (v *View) Err() error { return v.err }

// spend takes the steps of one lookup of a path and reports whether there were enough left.
func (v *View) spend(names, pathBytes int) bool {
	if v.err != nil {
		return false
	}
	if v.steps += names + pathBytes/stepBytes; v.steps > MaxSteps {
		v.err = fmt.Errorf("%w: looking up their paths takes more than %d steps", installed.ErrBudget, MaxSteps)
	}
	return v.err == nil
}

// Locate returns the position in Tree.Entries of a path, which may be absolute or relative to the root. Links on the way are
// followed, a link at the end is not.
func (v *View) Locate(p string) (int, bool) {
	dir, base := split(p)
	if base == "" || base == "." || base == ".." || len(p) > maxPath {
		return v.Follow(p)
	}
	where, known := v.memo[dir]
	if !known {
		where = -1
		if i, ok := v.walk(dir); ok {
			where = int32(i)
		}
		if v.memoBytes += len(dir) + memoEntry; v.memoBytes <= maxMemo {
			v.memo[strings.Clone(dir)] = where
		}
	}
	if !v.spend(1, len(p)) || where < 0 {
		return 0, false
	}
	return v.tree.Find(join(v.tree.Entries[where].Path, base))
}

// Follow is Locate with a link at the end followed too.
func (v *View) Follow(p string) (int, bool) { return v.walk(p) }

// Entry returns the entry that a path leads to, links followed, or nil.
func (v *View) Entry(p string) *tree.Entry {
	if i, ok := v.Follow(p); ok {
		return &v.tree.Entries[i]
	}
	return nil
}

// walk follows a path from the root, one name at a time.
func (v *View) walk(p string) (int, bool) {
	root, ok := v.tree.Find(".")
	if !ok || len(p) > maxPath || !v.spend(1, len(p)) {
		return 0, false
	}
	at, links := root, 0
	for rest := p; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		cur := v.tree.Entries[at].Path
		next := 0
		switch name {
		case "", ".":
			continue
		case "..":
			next, ok = v.tree.Find(tree.Parent(cur))
		default:
			next, ok = v.tree.Find(join(cur, name))
		}
		if !ok || !v.spend(1, len(cur)+len(name)) {
			return 0, false
		}
		e := &v.tree.Entries[next]
		if e.Kind != tree.Symlink {
			at = next
			continue
		}
		links++
		if links > maxLinks || len(e.Target)+1+len(rest) > maxPath || !v.spend(0, len(e.Target)+len(rest)) {
			return 0, false
		}
		if strings.HasPrefix(e.Target, "/") {
			at = root
		}
		rest = e.Target + "/" + rest
	}
	return at, true
}

// Children gives the entries directly in the directory that a path leads to whose names begin with prefix, in ascending
// order. What lies below them is stepped over.
func (v *View) Children(dir, prefix string) iter.Seq[*tree.Entry] {
	return func(yield func(*tree.Entry) bool) {
		i, ok := v.Follow(dir)
		if !ok || v.tree.Entries[i].Kind != tree.Dir {
			return
		}
		base := ""
		if where := v.tree.Entries[i].Path; where != "." {
			base = where + "/"
		}
		// "dir.x" sorts between "dir" and "dir/x", hence the search for the slash.
		j, _ := v.tree.Find(base + prefix)
		for j < len(v.tree.Entries) && v.spend(1, len(base)) {
			e := &v.tree.Entries[j]
			name, below := strings.CutPrefix(e.Path, base)
			if !below || !strings.HasPrefix(name, prefix) && e.Path != "." {
				return
			}
			child, _, deeper := strings.Cut(name, "/")
			switch {
			case deeper: // on to what sorts behind everything in child: "0" follows "/"
				j, _ = v.tree.Find(base + child + "0")
				continue
			case e.Path != "." && !yield(e):
				return
			}
			j++
		}
	}
}

// Entries gives all entries in ascending order of their paths.
func (v *View) Entries() iter.Seq[*tree.Entry] {
	return func(yield func(*tree.Entry) bool) {
		for i := range v.tree.Entries {
			if !yield(&v.tree.Entries[i]) {
				return
			}
		}
	}
}

// split cuts a path behind its last slash, without the slash; the directory of a bare name is ".".
func split(p string) (dir, base string) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return ".", p
	}
	if i == 0 {
		return ".", p[1:]
	}
	return p[:i], p[i+1:]
}

// join appends a name to a clean path relative to the root.
func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
