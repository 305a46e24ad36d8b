package tree

import "context"

// Flatten applies layers, lowest first, as the OCI image specification's layer changesets are applied: whiteouts and opaque
// whiteouts of a layer hide what lower layers hold, a directory over a directory changes its header, anything else replaces
// what was there. A hardlink may lead to an object of a lower layer. Where a parent directory is a symlink, it is followed
// inside the root, as containerd and umoci do; where it is missing, it is made with mode 0755 and owner root.
func Flatten(ctx context.Context, layers []*Index, lim Limits) (*Tree, error) {
	fs := newMemfs(lim.OrDefault())
	for _, x := range layers {
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
	groups := map[string]*inode{}
	for i := range x.Entries {
		if err := f.addEntry(&x.Entries[i], groups); err != nil {
			return err
		}
	}
	for i, l := range x.Links {
		if err := f.addLink(l, targets[i]); err != nil {
			return err
		}
	}
	return nil
}

// hide applies the whiteouts of a layer.
func (f *memfs) hide(x *Index) error {
	if len(x.Opaque)+len(x.Whiteouts) == 0 {
		return nil
	}
	if err := f.dropReplaced(x.Entries); err != nil {
		return err
	}
	for _, p := range x.Opaque {
		at, err := f.locate(p, probe)
		if err != nil {
			return err
		}
		if n := f.get(at); n.isDir() {
			f.empty(n)
		}
	}
	for _, p := range x.Whiteouts {
		at, err := f.locate(p, probe)
		if err != nil {
			return err
		}
		f.remove(at)
	}
	return nil
}

// dropReplaced takes away what directories of a layer replace. A symlink among it must not lead whiteouts, which are about
// the new directory, to where the old one pointed.
func (f *memfs) dropReplaced(entries []Entry) error {
	for i := range entries {
		if entries[i].Kind != Dir {
			continue
		}
		at, err := f.locate(entries[i].Path, probe)
		if err != nil {
			return err
		}
		if n := f.get(at); n != nil && !n.isDir() {
			f.remove(at)
		}
	}
	return nil
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
	if n == nil {
		// Some archivers write the link before its target, in the same layer.
		at, err := f.locate(l.Target, probe)
		if err != nil {
			return err
		}
		n = f.get(at)
	}
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
