package tree

import (
	"context"
	"iter"
	"slices"
)

// Flatten applies layers, lowest first, as the OCI image specification's layer changesets are applied: whiteouts and opaque
// whiteouts of a layer hide what lower layers hold, a directory over a directory changes its header, anything else replaces
// what was there. A hardlink may lead to an object of a lower layer. Where a parent directory is a symlink, it is followed
// inside the root, as containerd and umoci do; where it is missing, it is made with mode 0755 and owner root; where it is a file
// of a lower layer, it replaces the file, as an overlay does.
//
// Whiteouts come first, wherever in the layer they are. A layer of a builder has no two names for one path by way of a lower
// layer's symlink; of one that does, the entries count in path order.
func Flatten(ctx context.Context, layers []*Index, lim Limits) (*Tree, error) {
	return FlattenSeq(ctx, slices.Values(layers), lim)
}

// FlattenSeq is Flatten of layers that are made one after another. Nothing of an index is kept but its strings.
func FlattenSeq(ctx context.Context, layers iter.Seq[*Index], lim Limits) (*Tree, error) {
	fs := newMemfs(lim.OrDefault())
	for x := range layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := fs.apply(x); err != nil {
			return nil, err
		}
	}
	all, err := fs.list(false)
	if err != nil {
		return nil, err
	}
	return &Tree{Entries: entries(all)}, nil
}

func (f *memfs) apply(x *Index) error {
	// A link's target is looked up before anything of this layer takes place: it names an object of a lower layer.
	targets := make([]*inode, len(x.Links))
	for i, l := range x.Links {
		at, err := f.locate(l.Target, probe)
		if err != nil {
			return err
		}
		targets[i] = f.get(at)
	}
	if err := f.hide(x); err != nil {
		return err
	}
	return f.place(x, targets)
}

// place puts the entries and links of a layer where they belong, in path order.
func (f *memfs) place(x *Index, targets []*inode) error {
	groups := map[string]*inode{}
	var late []Link
	i := 0
	for n, l := range x.Links {
		for ; i < len(x.Entries) && ComparePaths(x.Entries[i].Path, l.Path) < 0; i++ {
			if err := f.addEntry(&x.Entries[i], groups); err != nil {
				return err
			}
		}
		if targets[n] == nil {
			// Some archivers write the link before its target, in the same layer.
			late = append(late, l)
			continue
		}
		if err := f.addLink(l, targets[n]); err != nil {
			return err
		}
	}
	for ; i < len(x.Entries); i++ {
		if err := f.addEntry(&x.Entries[i], groups); err != nil {
			return err
		}
	}
	for _, l := range late {
		at, err := f.locate(l.Target, probe)
		if err != nil {
			return err
		}
		if err := f.addLink(l, f.get(at)); err != nil {
			return err
		}
	}
	return nil
}

// hide applies the whiteouts of a layer, from the root downwards. A directory of the layer that replaces something else takes
// part: whiteouts below it are about the new directory, and must not follow a symlink that was there to where it led.
func (f *memfs) hide(x *Index) error {
	if len(x.Opaque)+len(x.Whiteouts) == 0 {
		return nil
	}
	type step struct {
		path string
		what func(spot, *inode)
	}
	var steps []step
	for i := range x.Entries {
		if e := &x.Entries[i]; e.Kind == Dir {
			steps = append(steps, step{e.Path, f.removeOther})
		}
	}
	for _, p := range x.Opaque {
		steps = append(steps, step{p, f.empty})
	}
	for _, p := range x.Whiteouts {
		steps = append(steps, step{p, func(s spot, _ *inode) { f.remove(s) }})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return ComparePaths(a.path, b.path) })
	for _, s := range steps {
		at, err := f.locate(s.path, probe)
		if err != nil {
			return err
		}
		if n := f.get(at); n != nil {
			s.what(at, n)
		}
	}
	return nil
}

// removeOther takes away what is no directory.
func (f *memfs) removeOther(s spot, n *inode) {
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
	n := groups[e.Link]
	if e.Link == "" || n == nil {
		n = &inode{entry: *e, shared: e.Link != ""}
		n.entry.Path, n.entry.Link = "", ""
	}
	if n.shared {
		groups[e.Link] = n
	}
	return f.put(at, n)
}

func (f *memfs) addLink(l Link, n *inode) error {
	if n == nil || n.isDir() {
		return invalid("hardlink %q to %q, which is no file", clip(l.Path), clip(l.Target))
	}
	at, err := f.locate(l.Path, forceDirs)
	if err != nil {
		return err
	}
	n.shared = true
	return f.put(at, n)
}
