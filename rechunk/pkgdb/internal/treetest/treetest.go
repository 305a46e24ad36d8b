// Package treetest builds small trees for tests.
package treetest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Files describes a tree: path to a value that says what is there. Parent directories are implied.
type Files map[string]any

// The values that Files takes besides string and []byte, which are a regular file's content.
type (
	// Link is a symbolic link to its value.
	Link string
	// Dir is a directory.
	Dir struct{}
	// Sized is a regular file of that many zero bytes which cannot be opened.
	Sized int64
	// Hard is another name of the regular file at its value, which must be the smaller path.
	Hard string
)

// With is a value with extended attributes.
type With struct {
	Value  any
	Xattrs map[string]string
}

// Contents serves what a tree was made of.
type Contents map[tree.Digest][]byte

var _ tree.Contents = Contents(nil)

// Open implements tree.Contents.
func (c Contents) Open(d tree.Digest) (io.ReadCloser, error) {
	b, ok := c[d]
	if !ok {
		return nil, fmt.Errorf("%w: %s", tree.ErrNoContent, d)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// New returns the tree and its contents. It panics on a value of an unknown type.
func New(files Files) (*tree.Tree, Contents) {
	contents := Contents{}
	entries := map[string]*tree.Entry{".": {Path: ".", Kind: tree.Dir, Mode: 0o755}}
	for _, p := range slices.Sorted(maps.Keys(files)) {
		for dir := tree.Parent(p); entries[dir] == nil; dir = tree.Parent(dir) {
			entries[dir] = &tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755}
		}
		if h, ok := files[p].(Hard); ok {
			target := entries[string(h)]
			target.Link = target.Path
			e := *target
			e.Path = p
			entries[p] = &e
			continue
		}
		entries[p] = entry(p, files[p], contents)
	}
	t := &tree.Tree{}
	for _, e := range entries {
		t.Entries = append(t.Entries, *e)
	}
	slices.SortFunc(t.Entries, func(a, b tree.Entry) int { return tree.ComparePaths(a.Path, b.Path) })
	return t, contents
}

func entry(p string, value any, contents Contents) *tree.Entry {
	switch v := value.(type) {
	case string:
		return entry(p, []byte(v), contents)
	case []byte:
		d := tree.Digest(sha256.Sum256(v))
		contents[d] = v
		return &tree.Entry{Path: p, Kind: tree.Regular, Mode: 0o644, Size: int64(len(v)), Digest: d}
	case Link:
		return &tree.Entry{Path: p, Kind: tree.Symlink, Mode: 0o777, Target: string(v)}
	case Dir:
		return &tree.Entry{Path: p, Kind: tree.Dir, Mode: 0o755}
	case Sized:
		d := tree.Digest(sha256.Sum256(fmt.Appendf(nil, "%s %d", p, v)))
		return &tree.Entry{Path: p, Kind: tree.Regular, Mode: 0o644, Size: int64(v), Digest: d}
	case With:
		e := entry(p, v.Value, contents)
		for _, name := range slices.Sorted(maps.Keys(v.Xattrs)) {
			e.Xattrs = append(e.Xattrs, tree.Xattr{Name: name, Value: v.Xattrs[name]})
		}
		return e
	}
	panic(fmt.Sprintf("treetest: %s is a %T", p, value))
}
