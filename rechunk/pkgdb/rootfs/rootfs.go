// Package rootfs looks up and reads paths of a tree the way a kernel would below a chroot: through symbolic links, never
// above the root, with a bounded number of steps.
package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrTooLarge is wrapped by errors about files that are longer than the caller allows.
var ErrTooLarge = errors.New("file too large")

const (
	// maxLinks is how many symbolic links one lookup follows, as in Linux.
	maxLinks = 40
	// maxPath bounds a path, link targets spliced in, in bytes; Linux has 4096 for each.
	maxPath = 16 << 10
	// maxMemo bounds the remembered directories, in bytes of their names; past it lookups get slower, not wrong.
	maxMemo = 32 << 20
)

// View is a tree seen as a filesystem. It remembers directories, so it must not be used by several goroutines at once.
type View struct {
	tree     *tree.Tree
	contents tree.Contents
	// memo maps a directory as it was asked for to where it really is; absent directories are remembered as "".
	memo      map[string]string
	memoBytes int
}

// New returns a view of t whose files' bytes come from contents.
func New(t *tree.Tree, contents tree.Contents) *View {
	return &View{tree: t, contents: contents, memo: make(map[string]string)}
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
		if i, ok := v.walk(dir); ok {
			where = v.tree.Entries[i].Path
		}
		if v.memoBytes += len(dir); v.memoBytes <= maxMemo {
			v.memo[strings.Clone(dir)] = where
		}
	}
	if where == "" {
		return 0, false
	}
	return v.tree.Find(join(where, base))
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
	at, ok := v.tree.Find(".")
	if !ok || len(p) > maxPath {
		return 0, false
	}
	links := 0
	for rest := p; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		cur := v.tree.Entries[at].Path
		switch name {
		case "", ".":
			continue
		case "..":
			at, _ = v.tree.Find(tree.Parent(cur))
			continue
		}
		next, ok := v.tree.Find(join(cur, name))
		if !ok {
			return 0, false
		}
		e := &v.tree.Entries[next]
		if e.Kind != tree.Symlink {
			at = next
			continue
		}
		links++
		if links > maxLinks || len(e.Target)+1+len(rest) > maxPath {
			return 0, false
		}
		if strings.HasPrefix(e.Target, "/") {
			at, _ = v.tree.Find(".")
		}
		rest = e.Target + "/" + rest
	}
	return at, true
}

// Children returns the entries directly in the directory that a path leads to, in ascending path order of the whole subtree.
func (v *View) Children(dir string) []*tree.Entry {
	i, ok := v.Follow(dir)
	if !ok || v.tree.Entries[i].Kind != tree.Dir {
		return nil
	}
	where := v.tree.Entries[i].Path
	var out []*tree.Entry
	// "dir.x" sorts between "dir" and "dir/x", hence the search for the slash.
	first, _ := v.tree.Find(where + "/")
	if where == "." {
		first = 0
	}
	for j := first; j < len(v.tree.Entries) && tree.Within(v.tree.Entries[j].Path, where); j++ {
		if e := &v.tree.Entries[j]; j != i && tree.Parent(e.Path) == where {
			out = append(out, e)
		}
	}
	return out
}

// Open opens the regular file that a path leads to and returns it with its size in bytes. An error wraps fs.ErrNotExist when
// there is no such file, ErrTooLarge when it has more than limit bytes, and is about the contents otherwise.
func (v *View) Open(p string, limit int64) (io.ReadCloser, int64, error) {
	e := v.Entry(p)
	if e == nil || e.Kind != tree.Regular {
		return nil, 0, fmt.Errorf("%q: %w", p, fs.ErrNotExist)
	}
	if e.Size > limit {
		return nil, 0, fmt.Errorf("%q: %w: %d bytes, at most %d are read", p, ErrTooLarge, e.Size, limit)
	}
	r, err := v.contents.Open(e.Digest)
	if err != nil {
		return nil, 0, fmt.Errorf("open %q: %w", p, err)
	}
	return r, e.Size, nil
}

// ReadFile returns the bytes of the regular file that a path leads to, with the errors of Open.
func (v *View) ReadFile(p string, limit int64) ([]byte, error) {
	r, size, err := v.Open(p, limit)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("read %q: %w", p, err)
	}
	return b, nil
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
