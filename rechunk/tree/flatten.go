package tree

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Flatten applies layers, lowest first, as the OCI image specification's layer changesets are applied: whiteouts and opaque
// whiteouts of a layer hide what lower layers hold, a directory over a directory changes its header, anything else replaces
// what was there. A hardlink may lead to an object of a lower layer. Where a parent directory is a symlink, it is followed
// inside the root, as containerd and umoci do; where it is missing, it is made with mode 0755 and owner root; where it is a
// file of a lower layer, it replaces the file, as an overlay does.
//
// Whiteouts come first, wherever in the layer they are. A layer of a builder has no two names for one path by way of a lower
// layer's symlink; of one that does, the entries count in path order.
func Flatten(ctx context.Context, layers []*Index, lim Limits) (*Tree, error) {
	return NewBudget(lim).Flatten(ctx, layers)
}

// Flatten is the function Flatten within the budget from which the indexes were made.
func (b *Budget) Flatten(ctx context.Context, layers []*Index) (*Tree, error) {
	fs, err := replay(ctx, func(yield func(Layer) bool) {
		for _, x := range layers {
			if !yield(x.Layer()) {
				return
			}
		}
	}, b)
	defer fs.release()
	if err != nil {
		return nil, err
	}
	all, _, err := fs.list(false)
	if err != nil {
		return nil, err
	}
	return &Tree{Entries: all}, nil
}

// DiffLayers lists how what layers hold, applied as Flatten does, differs from a tree. It makes no tree of them.
func DiffLayers(ctx context.Context, want *Tree, layers iter.Seq[Layer], lim Limits, opts DiffOptions) ([]Difference,
	error) {
	fs, err := replay(ctx, layers, NewBudget(lim))
	if err != nil {
		return nil, err
	}
	d := differ{a: want.Entries, opts: opts}
	if err := fs.each(false, func(e *Entry, _ *inode) { d.next(e) }); err != nil {
		return nil, err
	}
	return d.end(), nil
}

// Layer is what one layer changes.
type Layer struct {
	of        []Entry
	positions []int32 // in of, ascending; nil stands for all
	links     []Link
	whiteouts []string
	opaque    []string
}

// Layer gives what the index says.
func (x *Index) Layer() Layer {
	return Layer{of: x.Entries, links: x.Links, whiteouts: x.Whiteouts, opaque: x.Opaque}
}

// Layer gives a layer of some of the tree's entries, whose positions ascend, and whiteouts.
func (t *Tree) Layer(positions []int32, whiteouts []string) Layer {
	if len(positions) == 0 {
		return Layer{whiteouts: whiteouts}
	}
	return Layer{of: t.Entries, positions: positions, whiteouts: whiteouts}
}

// entries goes through the layer's entries.
func (l *Layer) entries() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		if l.positions == nil {
			for i := range l.of {
				if !yield(&l.of[i]) {
					return
				}
			}
		}
		for _, i := range l.positions {
			if !yield(&l.of[i]) {
				return
			}
		}
	}
}

func replay(ctx context.Context, layers iter.Seq[Layer], b *Budget) (*memfs, error) {
	fs := newMemfs(b, treeCost)
	for l := range layers {
		if err := ctx.Err(); err != nil {
			return fs, err
		}
		if err := fs.apply(&l); err != nil {
			return fs, err
		}
	}
	return fs, nil
}

func (f *memfs) apply(l *Layer) error {
	f.headers += len(l.of) + len(l.links) + len(l.whiteouts) + len(l.opaque)
	// A link's target is looked up before anything of this layer takes place: it names an object of a lower layer.
	targets := make([]*inode, len(l.links))
	for i, k := range l.links {
		at, err := f.locate(k.Target, probe)
		if err != nil {
			return err
		}
		targets[i] = f.get(at)
	}
	if err := f.hide(l); err != nil {
		return err
	}
	if err := f.place(l, targets); err != nil {
		return err
	}
	return f.seeDisputes(l)
}

// place puts the entries and links of a layer where they belong, in path order.
func (f *memfs) place(l *Layer, targets []*inode) error {
	groups := map[string]*inode{}
	var late []Link
	n := 0
	linkUpTo := func(path string) error {
		for ; n < len(l.links) && (path == "" || ComparePaths(l.links[n].Path, path) <= 0); n++ {
			if targets[n] == nil {
				// Some archivers write the link before its target, in the same layer.
				late = append(late, l.links[n])
				continue
			}
			if err := f.addLink(l.links[n], targets[n]); err != nil {
				return err
			}
		}
		return nil
	}
	for e := range l.entries() {
		if err := linkUpTo(e.Path); err != nil {
			return err
		}
		if err := f.addEntry(e, groups); err != nil {
			return err
		}
	}
	if err := linkUpTo(""); err != nil {
		return err
	}
	for _, k := range late {
		at, err := f.locate(k.Target, probe)
		if err != nil {
			return err
		}
		if err := f.addLink(k, f.get(at)); err != nil {
			return err
		}
	}
	return nil
}

// hide applies the whiteouts of a layer, from the root downwards. A directory of the layer that replaces something else
// takes part: whiteouts below it are about the new directory, and must not follow a symlink that was there to where it led.
func (f *memfs) hide(l *Layer) error {
	if len(l.opaque)+len(l.whiteouts) == 0 {
		return nil
	}
	type hiding struct {
		path string
		what func(spot, *inode)
	}
	var todo []hiding
	for e := range l.entries() {
		if e.Kind == Dir {
			todo = append(todo, hiding{e.Path, func(s spot, n *inode) { f.removeOther(s, n, l) }})
		}
	}
	for _, p := range l.opaque {
		todo = append(todo, hiding{p, f.empty})
	}
	for _, p := range l.whiteouts {
		todo = append(todo, hiding{p, func(s spot, _ *inode) { f.remove(s) }})
	}
	slices.SortStableFunc(todo, func(a, b hiding) int { return ComparePaths(a.path, b.path) })
	for _, h := range todo {
		at, err := f.locate(h.path, probe)
		if err != nil {
			return err
		}
		if n := f.get(at); n != nil {
			h.what(at, n)
		}
	}
	return nil
}

// seeDisputes notes what the layer, as it was placed, says to directories that are not there.
func (f *memfs) seeDisputes(l *Layer) error {
	see := func(dir string) error {
		at, err := f.locate(dir, probe)
		if err == nil && f.get(at) == nil {
			f.budget.Dispute(fmt.Sprintf("a whiteout in %q, which is not there", clip(dir)))
		}
		return err
	}
	for _, p := range l.whiteouts {
		if err := see(Parent(p)); err != nil {
			return err
		}
	}
	for _, p := range l.opaque {
		if err := see(p); err != nil {
			return err
		}
	}
	return nil
}

// removeOther takes away what is no directory, for a directory of a layer. Clients agree about one that takes a symlink's
// place only if the layer has a whiteout of it.
func (f *memfs) removeOther(s spot, n *inode, l *Layer) {
	if _, hidden := slices.BinarySearchFunc(l.whiteouts, s.path(), ComparePaths); n.entry.Kind == Symlink && !hidden {
		f.budget.Dispute(fmt.Sprintf("the directory %q, where a lower layer has a symlink", clip(s.path())))
	}
	if !n.isDir() {
		f.remove(s)
	}
}

// empty takes away all that lies in a directory.
func (f *memfs) empty(_ spot, n *inode) {
	f.names -= countNames(n)
	clear(n.children)
	f.forget()
}

// addEntry places an entry of an index; groups holds the objects of the layer's hardlink groups by their name.
func (f *memfs) addEntry(e *Entry, groups map[string]*inode) error {
	at, err := f.locate(e.Path, forceDirs)
	if err != nil {
		return err
	}
	if old := f.get(at); e.Kind == Dir && old != nil && old.entry.Kind == Symlink {
		f.budget.Dispute(fmt.Sprintf("the directory %q, where a lower layer has a symlink", clip(e.Path)))
	}
	n := groups[e.Link]
	if e.Link == "" || n == nil {
		n = &inode{entry: e, shared: e.Link != ""}
	}
	if n.shared {
		groups[e.Link] = n
	}
	return f.put(at, n)
}

func (f *memfs) addLink(l Link, n *inode) error {
	if n == nil || n.isDir() {
		return Invalidf("hardlink %q to %q, which is no file", l.Path, l.Target)
	}
	at, err := f.locate(l.Path, forceDirs)
	if err != nil {
		return err
	}
	n.shared = true
	return f.put(at, n)
}
