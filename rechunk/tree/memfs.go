package tree

// memfs is a filesystem in memory on which the headers of a layer, or the layers of an image, are replayed. Names are
// followed as inside a chroot: nothing outside the root can be reached, whatever the links say.
type memfs struct {
	root *inode
	// names counts directory entries, for the limit.
	names int
	// steps counts the path components that came from symlinks. headers, what the names came from, says how many there may
	// be.
	steps, headers int
	lim            Limits
	budget         *Budget
	held           int64 // of the budget's memory
	cost           int64 // of a name
	// lastDir is the directory of the previous name and lastSpot where it led: archives list a directory's entries together.
	lastDir  string
	lastSpot spot
}

// inode is an object; several names may lead to it.
type inode struct {
	// entry is the object's header, and belongs to who made it: it is not changed here. Its Path is a name that was given,
	// and its Link means nothing.
	entry    *Entry
	children map[string]*inode
	// shared marks an object that has or had several names.
	shared bool
	// implied marks a directory that exists only because something lies below it.
	implied bool
	// lower is the path in lower layers of an object that this layer only links to. Nothing else is known of it.
	lower string
}

func newMemfs(b *Budget, cost int64) *memfs {
	return &memfs{root: impliedDir(), lim: b.lim, budget: b, cost: cost}
}

// hold takes memory until release.
func (f *memfs) hold(n int64) error {
	f.held += n
	return f.budget.hold(n)
}

func (f *memfs) giveBack(n int64) {
	f.held -= n
	f.budget.release(n)
}

func (f *memfs) release() { f.giveBack(f.held) }

func impliedDir() *inode {
	return &inode{entry: &Entry{Kind: Dir, Mode: 0o755}, implied: true}
}

// elsewhere is an object that only lower layers have, at a path there.
func elsewhere(path string) *inode { return &inode{entry: &Entry{}, lower: path} }

// kind names what n is, for messages.
func (n *inode) kind() string {
	if n.lower != "" {
		return "hardlink"
	}
	return n.entry.Kind.String()
}

func (n *inode) isDir() bool { return n != nil && n.entry.Kind == Dir }

// get returns what is at a spot, or nil.
func (f *memfs) get(s spot) *inode {
	switch {
	case s.name == "":
		return f.root
	case s.dir == nil:
		return nil
	}
	return s.dir.children[s.name]
}

// put places an object. A directory over a directory changes only the header; everything else replaces what was there with
// all that lay below it.
func (f *memfs) put(s spot, n *inode) error {
	old := f.get(s)
	if old.isDir() && n.isDir() {
		old.entry, old.implied = n.entry, n.implied
		return nil
	}
	if s.name == "" {
		return Invalidf("the root is a %s", n.kind())
	}
	if old != nil {
		f.remove(s)
	}
	return f.add(s.dir, s.name, n)
}

// add places an object where nothing is.
func (f *memfs) add(dir *inode, name string, n *inode) error {
	if f.names++; f.names > f.lim.Entries {
		return OverLimit("number of paths", f.lim.Entries)
	}
	cost := f.cost
	if dir.children == nil {
		cost += dirCost
	}
	if err := f.hold(cost); err != nil {
		return err
	}
	if dir.children == nil {
		dir.children = map[string]*inode{}
	}
	dir.children[name] = n
	return nil
}

// remove takes a name away with all that lies below it; a missing one is no error.
func (f *memfs) remove(s spot) {
	if n := f.get(s); n != nil && s.name != "" {
		f.names -= 1 + countNames(n)
		delete(s.dir.children, s.name)
		f.forget()
	}
}

// forget drops the memory of the previous directory, which may be gone or replaced.
func (f *memfs) forget() { f.lastDir, f.lastSpot = "", spot{} }

func countNames(n *inode) int {
	c := len(n.children)
	for _, k := range n.children {
		c += countNames(k)
	}
	return c
}
