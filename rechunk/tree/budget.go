package tree

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

// Budget is what the layers of one image may take together, by its Limits. What many layers read at the same time share it;
// it is safe for concurrent use. Errors wrap ErrLimit and name what is used up.
type Budget struct {
	lim     Limits
	headers atomic.Int64
	meta    atomic.Int64
	bytes   atomic.Int64
	inline  atomic.Int64
	memory  atomic.Int64

	mu       sync.Mutex
	seed     maphash.Seed
	xattrs   map[uint64][][]Xattr
	disputed string
}

// What an object takes in memory without its strings, in bytes.
const (
	indexCost   = 192 // in an Index
	nameCost    = 112 // a name in a memfs
	builderCost = nameCost + indexCost
	treeCost    = nameCost + indexCost // in a memfs and the Tree that is made of it
	dirCost     = 320                  // the names in a directory
	xattrCost   = 32
	xattrsCost  = 160 // a list of attributes, and that it is known
)

// NewBudget returns the budget of one image.
func NewBudget(lim Limits) *Budget {
	return &Budget{lim: lim.OrDefault(), seed: maphash.MakeSeed(), xattrs: map[uint64][][]Xattr{}}
}

// Limits returns what the budget was made with, with defaults.
func (b *Budget) Limits() Limits { return b.lim }

// TakeHeader counts one header with so many bytes of names and attributes.
func (b *Budget) TakeHeader(meta int) error {
	if b.headers.Add(1) > int64(b.lim.Entries) {
		return OverLimit("number of headers in the image's layers", b.lim.Entries)
	}
	return b.takeMeta(meta)
}

func (b *Budget) takeMeta(n int) error {
	if b.meta.Add(int64(n)) > b.lim.MetaBytes {
		return OverLimit("bytes of names and attributes in the image's layers", b.lim.MetaBytes)
	}
	return nil
}

// TakeBytes counts bytes of uncompressed layers, or zeros that a sparse file stands for.
func (b *Budget) TakeBytes(n int64) error {
	if n > b.lim.ImageBytes || b.bytes.Add(n) > b.lim.ImageBytes {
		return OverLimit("bytes of the image's uncompressed layers", b.lim.ImageBytes)
	}
	return nil
}

// TakeInline reports whether a content of so many bytes may still be carried in an index.
func (b *Budget) TakeInline(n int64) bool {
	if n > MaxInline || b.inline.Add(n) <= b.lim.InlineBytes {
		return n <= MaxInline
	}
	b.inline.Add(-n)
	return false
}

// Xattrs returns attributes equal to x, sorted by name, that all who ask for equal ones share. Nobody changes them.
func (b *Budget) Xattrs(x []Xattr) ([]Xattr, error) {
	if len(x) == 0 {
		return nil, nil
	}
	var h maphash.Hash
	h.SetSeed(b.seed)
	size := int64(xattrsCost)
	for _, a := range x {
		_, _ = h.WriteString(a.Name)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(a.Value)
		size += xattrCost + int64(len(a.Name)+len(a.Value))
	}
	sum := h.Sum64()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, known := range b.xattrs[sum] {
		if slices.Equal(known, x) {
			return known, nil
		}
	}
	if err := b.hold(size); err != nil {
		return nil, err
	}
	b.xattrs[sum] = append(b.xattrs[sum], x)
	return x, nil
}

// Dispute notes something that clients take for different things; what was noted first stays.
func (b *Budget) Dispute(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disputed == "" {
		b.disputed = what
	}
}

// Disputed tells what clients take for different things in the layers that were scanned and flattened, in words; it is empty
// when they agree. Which clients do what is in docs/clients.md. What an index does not hold was only seen by who scanned the
// layer.
func (b *Budget) Disputed() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.disputed
}

// hold counts memory, release gives it back.
func (b *Budget) hold(n int64) error {
	if b.memory.Add(n) > b.lim.Memory {
		return OverLimit("bytes of memory for the image's paths and attributes", b.lim.Memory)
	}
	return nil
}

func (b *Budget) release(n int64) { b.memory.Add(-n) }

// memory is what an index holds, without attributes and inline contents, which have counts of their own.
func (x *Index) memory() int64 {
	n := int64(len(x.Entries))*indexCost + int64(len(x.Links))*indexCost + int64(len(x.Whiteouts)+len(x.Opaque))*nameCost
	for i := range x.Entries {
		n += int64(len(x.Entries[i].Path) + len(x.Entries[i].Target))
	}
	for _, l := range x.Links {
		n += int64(len(l.Path) + len(l.Target))
	}
	for _, list := range [][]string{x.Whiteouts, x.Opaque} {
		for _, p := range list {
			n += int64(len(p))
		}
	}
	return n
}
