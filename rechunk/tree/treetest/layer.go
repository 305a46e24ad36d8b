package treetest

import (
	"archive/tar"
	"maps"
	"slices"
	"time"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Layer returns a layer that turns one tree into another, both made by r; a nil tree is an empty one. Removed paths get
// whiteouts, and some directories an opaque whiteout and all of their contents. Some of the new names of old objects are
// hardlinks into lower layers.
func (r *Random) Layer(from, to *tree.Tree) []Item {
	if from == nil {
		from = &tree.Tree{}
	}
	d := &difference{r: r, from: from, to: to, emit: map[string]bool{}, opaque: map[string]bool{}}
	d.findOpaque()
	d.findChanged()
	return append(d.whiteouts(), d.objects()...)
}

type difference struct {
	r        *Random
	from, to *tree.Tree
	opaque   map[string]bool // directories whose lower content is hidden
	emit     map[string]bool // paths, and hardlink groups, that the layer holds
}

// findOpaque chooses directories that both trees have.
func (d *difference) findOpaque() {
	for _, e := range d.to.Entries {
		old := d.from.Lookup(e.Path)
		both := old != nil && old.Kind == tree.Dir && e.Kind == tree.Dir
		if both && d.r.rng.IntN(15) == 0 && e.Path != "." {
			d.opaque[e.Path] = true
		}
	}
}

func (d *difference) hidden(p string) bool {
	for dir := range d.opaque {
		if p != dir && tree.Within(p, dir) {
			return true
		}
	}
	return false
}

func (d *difference) findChanged() {
	for i := range d.to.Entries {
		e := &d.to.Entries[i]
		old := d.from.Lookup(e.Path)
		if old == nil || !old.Same(e) || !old.SameTime(e) || old.Link != e.Link || d.hidden(e.Path) {
			d.emit[e.Path] = true
			if e.Link != "" {
				d.emit[e.Link] = true
			}
		}
	}
}

// whiteouts hides what the new tree lacks, unless a replaced or opaque directory hides it already.
func (d *difference) whiteouts() []Item {
	var out []Item
	for _, dir := range slices.Sorted(maps.Keys(d.opaque)) {
		out = append(out, Opaque(dir))
	}
	for _, e := range d.from.Entries {
		parent := d.to.Lookup(tree.Parent(e.Path))
		next := d.to.Lookup(e.Path)
		// Clients agree about a directory in a symlink's place if the symlink is hidden.
		gone := next == nil || e.Kind == tree.Symlink && next.Kind == tree.Dir
		if gone && parent != nil && parent.Kind == tree.Dir && !d.hidden(e.Path) {
			out = append(out, Whiteout(e.Path))
		}
	}
	d.r.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// objects lists what changed, a hardlink group whole or not at all.
func (d *difference) objects() []Item {
	var out []Item
	kept := map[string]bool{}
	for _, e := range d.to.Entries {
		if e.Link == e.Path && d.keepFirst(e) {
			kept[e.Link] = true
		}
		switch {
		case e.Link != "" && !d.emit[e.Link], e.Link == "" && !d.emit[e.Path], kept[e.Path], kept[e.Link] && d.linked(e):
		case e.Link != "" && e.Link != e.Path:
			out = append(out, Hardlink(e.Path, e.Link))
		default:
			out = append(out, d.r.item(e))
		}
	}
	return out
}

// keepFirst chooses groups whose first member stays in the lower layer, so that new members link to it there.
func (d *difference) keepFirst(e tree.Entry) bool {
	old := d.from.Lookup(e.Path)
	return d.r.rng.IntN(2) == 0 && old != nil && old.Same(&e) && old.SameTime(&e) && !d.hidden(e.Path)
}

// linked reports whether an entry was in the lower layer's group of its first member already.
func (d *difference) linked(e tree.Entry) bool {
	old, first := d.from.Lookup(e.Path), d.from.Lookup(e.Link)
	return old != nil && old.Link != "" && old.Link == first.Link && !d.hidden(e.Path)
}

// item writes an entry as a header with its content.
func (r *Random) item(e tree.Entry) Item {
	types := map[tree.Kind]byte{
		tree.Dir: tar.TypeDir, tree.Regular: tar.TypeReg, tree.Symlink: tar.TypeSymlink, tree.Char: tar.TypeChar,
		tree.Block: tar.TypeBlock, tree.Fifo: tar.TypeFifo,
	}
	i := item(types[e.Kind], e.Path, int64(e.Mode)).WithOwner(e.UID, e.GID).WithTime(time.Unix(e.Sec, int64(e.Nsec)))
	i.Linkname, i.Devmajor, i.Devminor = e.Target, e.Major, e.Minor
	if e.Kind == tree.Regular {
		i.Body = r.Contents[e.Digest]
		i.Size = e.Size
	}
	for _, x := range e.Xattrs {
		i = i.WithXattr(x.Name, x.Value)
	}
	return i
}
