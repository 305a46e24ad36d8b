package tree

// Index is what one layer holds, in a form that does not need the layer again: the result of scan.Layer, and what is stored
// for every layer, source or served, under the layer's digest. No path has a component that starts with ".wh.".
type Index struct {
	// Entries are the layer's final objects in ascending path order, one per path. A layer that names a path twice has the
	// last one here. Implied parent directories are not listed. Symlinks of the layer itself are resolved in the paths of
	// what lies behind them. A hardlink whose target is in the same layer is an entry of the target's kind with Link set, as
	// in a Tree.
	Entries []Entry
	// Links are hardlinks whose target lies in a lower layer, or follows in this one, in ascending path order.
	Links []Link
	// Whiteouts are the paths that the layer hides in lower layers, ascending.
	Whiteouts []string
	// Opaque are the directories whose lower content the layer hides, ascending.
	Opaque []string
	// Inline are the small contents that the index carries, in ascending order of their digests.
	Inline []Inline
	// TarSize is the length of the uncompressed layer in bytes.
	TarSize int64
}

// Link is a hardlink into a lower layer.
type Link struct {
	Path   string
	Target string
}
