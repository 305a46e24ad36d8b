// Package tree is the model of an image's filesystem: entries, the index of one layer, the flattened tree of all layers.
//
// A Builder makes the Index of a layer of its headers; Flatten applies indexes on top of each other as the OCI image
// specification's layer changeset rules say (whiteouts, opaque whiteouts, replaced types) and gives a Tree. Diff compares
// trees, Index.WriteTo and ReadIndex store an index.
//
// Everything read here is hostile until checked: every length, count and name is bounded by Limits, and a violation is an
// error that wraps ErrLimit or ErrInvalid.
package tree

import (
	"io"
	"slices"
	"strings"
)

// Tree is a flattened filesystem. It is immutable once made and safe for concurrent use.
type Tree struct {
	// Entries are in the order of ComparePaths, so that every directory precedes what it holds. The root is there, and so is
	// the parent directory of every other entry.
	Entries []Entry
}

// Contents gives the bytes of regular files. Implementations are safe for concurrent use.
type Contents interface {
	// Open returns the content with the given digest from its first byte. The caller closes it. An unknown digest is an
	// error that wraps ErrNoContent. The bytes are not verified again.
	Open(d Digest) (io.ReadCloser, error)
}

// Clone copies the entries, but not what their strings and attributes lead to. Who made the copy may change its entries
// until others see it.
func (t *Tree) Clone() *Tree { return &Tree{Entries: slices.Clone(t.Entries)} }

// Find returns the position of the entry with the given path and whether it exists.
func (t *Tree) Find(path string) (int, bool) {
	return slices.BinarySearchFunc(t.Entries, path, func(e Entry, p string) int { return ComparePaths(e.Path, p) })
}

// Lookup returns the entry with the given path, or nil.
func (t *Tree) Lookup(path string) *Entry {
	if i, ok := t.Find(path); ok {
		return &t.Entries[i]
	}
	return nil
}

// Bytes returns the number of content bytes in the tree, each hardlink group counted once.
func (t *Tree) Bytes() int64 {
	var n int64
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Link == "" || e.Link == e.Path {
			n += e.Size
		}
	}
	return n
}

// ComparePaths orders clean paths by their bytes, the root "." before all others. It returns -1, 0 or +1.
func ComparePaths(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == ".":
		return -1
	case b == ".":
		return 1
	}
	return strings.Compare(a, b)
}
