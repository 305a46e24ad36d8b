package tree

import (
	"fmt"
	"slices"
	"strings"
)

// Builder makes the index of one layer of its headers, in the order in which the archive has them: a later object replaces
// an earlier one of the same path, and symlinks of the layer are followed in the paths of what comes after them. It is for
// one goroutine. After an error it is of no further use. Errors wrap ErrInvalid or ErrLimit.
type Builder struct {
	fs        *memfs
	whiteouts map[string]bool
	opaque    map[string]bool
	strings   int64 // what of the budget's memory is for strings, which the index has, too
}

// NewBuilder makes a builder of one layer. Until Close it takes of the budget's memory.
func NewBuilder(b *Budget) *Builder {
	return &Builder{fs: newMemfs(b, builderCost), whiteouts: map[string]bool{}, opaque: map[string]bool{}}
}

// Close frees what the builder holds. It does nothing to an index that was made.
func (b *Builder) Close() { b.fs.release() }

// header accounts for a header that the layer has.
func (b *Builder) header(strings int) error {
	b.fs.headers++
	b.strings += int64(strings)
	return b.fs.hold(int64(strings))
}

// Add places an object at its path, which is clean (CleanPath). The entry belongs to the builder then, but for its Size and
// Digest, which may be set until Index is called. Its Link is not looked at.
func (b *Builder) Add(e *Entry) error {
	if err := checkHeader(e, e.Path, b.fs.lim); err != nil {
		return err
	}
	if err := b.header(len(e.Path) + len(e.Target)); err != nil {
		return err
	}
	at, err := b.fs.locate(e.Path, makeDirs)
	if err != nil {
		return err
	}
	if e.Xattrs, err = b.fs.budget.Xattrs(e.Xattrs); err != nil {
		return err
	}
	return b.fs.put(at, &inode{entry: e})
}

// Link gives an object one more name: an object of this layer if it has one at target, else one of a lower layer. Both paths
// are clean.
func (b *Builder) Link(path, target string) error {
	if err := b.header(len(path) + len(target)); err != nil {
		return err
	}
	at, err := b.fs.locate(path, makeDirs)
	if err != nil {
		return err
	}
	from, err := b.fs.locate(target, probe)
	if err != nil {
		return err
	}
	n, itself := b.fs.get(from), from.path() == at.path()
	if n != nil && n.implied {
		n = nil // the directory may be a symlink in a lower layer
	}
	switch {
	case n.isDir(), !itself && Within(from.path(), at.path()):
		return Invalidf("hardlink %q to %q, which is no file", path, target)
	case n == nil:
		n = elsewhere(from.path())
	case itself:
		return nil // some archivers write a link to itself for a name they saw twice
	}
	n.shared = true
	return b.fs.put(at, n)
}

// Hide takes a clean path for what layers mean by names that start with ".wh.": a whiteout, an opaque whiteout, or
// bookkeeping of aufs, which means nothing. It returns false when the path is an object's.
func (b *Builder) Hide(path string) (bool, error) {
	dir, base := split(path)
	if !reservedName(base) {
		return false, nil
	}
	name := base[len(whiteoutPrefix):]
	switch {
	case base == opaqueMarker:
		name = ""
	case strings.HasPrefix(base, aufsPrefix):
		b.fs.budget.Dispute(fmt.Sprintf("%q, which aufs left there", clip(path)))
		// At the root such files may be the targets of hardlinks; Index drops them in the end.
		return dir != ".", nil
	case name == "" || name == "." || name == "..":
		return true, Invalidf("whiteout of %q in %q", name, dir)
	}
	if err := b.header(nameCost + len(path)); err != nil {
		return true, err
	}
	// The directory may lie behind a symlink of this layer; what lower layers have is followed when layers are flattened.
	at, err := b.fs.locate(path, probe)
	if err != nil {
		return true, err
	}
	if base == opaqueMarker {
		b.opaque[at.real] = true
	} else {
		b.whiteouts[join(at.real, name)] = true
	}
	return true, nil
}

// Index gives what the layer holds, without inline contents and TarSize, and takes of the budget for it. The builder is used
// up.
func (b *Builder) Index() (*Index, error) {
	for name := range b.fs.root.children {
		if strings.HasPrefix(name, aufsPrefix) {
			b.fs.remove(spot{b.fs.root, ".", name})
		}
	}
	x := &Index{}
	var err error
	if x.Entries, x.Links, err = b.fs.list(true); err != nil {
		return nil, err
	}
	x.Whiteouts, x.Opaque = sortedPaths(b.whiteouts), sortedPaths(b.opaque)
	if x.metaBytes() > b.fs.lim.MetaBytes {
		return nil, OverLimit("bytes of names and attributes in a layer", b.fs.lim.MetaBytes)
	}
	b.fs.giveBack(b.strings)
	b.strings = 0
	return x, b.fs.budget.hold(x.memory())
}

func sortedPaths(set map[string]bool) []string {
	var out []string
	for p := range set {
		out = append(out, p)
	}
	slices.SortFunc(out, ComparePaths)
	return out
}
