// Package layer writes the layers of a served image and reads them back: from a layout's layer to a tar stream to a compressed
// blob, the same bytes for the same input on every machine.
//
// What bootc's backends demand of a layer is kept here: every ancestor directory is in the layer with its final header, before
// what it holds; hardlinks follow their target; extended attributes are PAX records; the blob is one zstd frame or one gzip
// member.
package layer

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Blob describes a layer blob.
type Blob struct {
	Digest digest.Digest
	// Size is the length of the compressed blob in bytes.
	Size int64
	// DiffID is the digest of the uncompressed tar stream.
	DiffID digest.Digest
	// TarSize is that stream's length in bytes.
	TarSize int64
}

// Write writes the blob of a new layer to w. It fails when a content is not as long as its entry says, and soon after ctx ends.
// What contents give is not hashed: that the layer holds the right bytes is for Read to find.
func Write(ctx context.Context, w io.Writer, t *tree.Tree, l *plan.Layer, contents tree.Contents, c Compression) (Blob, error) {
	blob := newTally(w)
	z, err := c.compress(blob)
	if err != nil {
		return Blob{}, err
	}
	plain := newTally(z)
	// Hashing the tar in large pieces costs less than one call per 512-byte header.
	buf := bufio.NewWriterSize(plain, 64<<10)
	tw := &writer{
		ctx: ctx, tar: tar.NewWriter(buf), tree: t, contents: contents, copyBuf: make([]byte, 64<<10), first: map[string]bool{},
	}
	err = tw.layer(l)
	if err == nil {
		err = tw.tar.Close()
	}
	if err == nil {
		err = buf.Flush()
	}
	// The encoder is closed in any case: it may hold goroutines.
	if cerr := z.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return Blob{}, fmt.Errorf("writing layer %q: %w", l.Name, err)
	}
	return Blob{Digest: blob.digest(), Size: blob.n, DiffID: plain.digest(), TarSize: plain.n}, nil
}

// tally passes bytes on, counting and hashing them.
type tally struct {
	w   io.Writer
	n   int64
	sum hash.Hash
}

func newTally(w io.Writer) *tally { return &tally{w: w, sum: sha256.New()} }

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.n += int64(n)
	t.sum.Write(p[:n])
	return n, err
}

func (t *tally) digest() digest.Digest { return digest.NewDigest(digest.SHA256, t.sum) }

type writer struct {
	ctx      context.Context
	tar      *tar.Writer
	tree     *tree.Tree
	contents tree.Contents
	copyBuf  []byte
	first    map[string]bool // hardlink groups whose first member is written
}

// layer writes entries and whiteouts in path order, so that every directory precedes what it holds and the first name of a
// hardlink group, which is its name, precedes the others.
func (w *writer) layer(l *plan.Layer) error {
	entries, err := withAncestors(w.tree, l)
	if err != nil {
		return err
	}
	marks := whiteoutNames(l.Whiteouts)
	for len(entries) > 0 || len(marks) > 0 {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		if len(entries) == 0 || len(marks) > 0 && tree.ComparePaths(marks[0], w.tree.Entries[entries[0]].Path) < 0 {
			mark := &tar.Header{Typeflag: tar.TypeReg, Name: marks[0], Mode: 0o644, ModTime: time.Unix(0, 0)}
			if err := w.tar.WriteHeader(mark); err != nil {
				return fmt.Errorf("%q: %w", marks[0], err)
			}
			marks = marks[1:]
			continue
		}
		if err := w.entry(&w.tree.Entries[entries[0]]); err != nil {
			return err
		}
		entries = entries[1:]
	}
	return nil
}

// whiteoutNames gives the names of the marker files (OCI image specification, "Whiteouts"), in path order.
func whiteoutNames(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		dir, base := tree.Parent(p), p[strings.LastIndexByte(p, '/')+1:]
		if dir == "." {
			out[i] = ".wh." + base
		} else {
			out[i] = dir + "/.wh." + base
		}
	}
	slices.SortFunc(out, tree.ComparePaths)
	return out
}

// withAncestors returns the positions of a layer's entries and of all their ancestor directories and those of its whiteouts,
// ascending. The root is always among them.
func withAncestors(t *tree.Tree, l *plan.Layer) ([]int, error) {
	in := map[int]bool{}
	known := map[string]bool{}
	addDirs := func(p string) error {
		for d := tree.Parent(p); !known[d]; d = tree.Parent(d) {
			known[d] = true
			i, ok := t.Find(d)
			if !ok || t.Entries[i].Kind != tree.Dir {
				return fmt.Errorf("%q lies in %q, which is no directory of the tree", p, d)
			}
			in[i] = true
		}
		return nil
	}
	for _, i := range l.Entries {
		in[i] = true
		if err := addDirs(t.Entries[i].Path); err != nil {
			return nil, err
		}
	}
	for _, p := range l.Whiteouts {
		if err := addDirs(p); err != nil {
			return nil, err
		}
	}
	if err := addDirs("x"); err != nil {
		return nil, err
	}
	out := make([]int, 0, len(in))
	for i := range in {
		out = append(out, i)
	}
	slices.Sort(out)
	return out, nil
}

func (w *writer) entry(e *tree.Entry) error {
	h, err := header(e)
	if err != nil {
		return err
	}
	if e.Link != "" {
		if w.first[e.Link] {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, e.Link, 0
		} else if e.Link != e.Path {
			return fmt.Errorf("hardlink %q without %q in the same layer", e.Path, e.Link)
		}
		w.first[e.Link] = true
	}
	if err := w.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	if h.Typeflag != tar.TypeReg || e.Size == 0 {
		return nil
	}
	r, err := w.contents.Open(e.Digest)
	if err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	defer r.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{w.tar}, contextReader{w.ctx, r}, w.copyBuf)
	switch {
	case errors.Is(err, tar.ErrWriteTooLong):
		err = fmt.Errorf("content of more than %d bytes", e.Size)
	case err == nil && n != e.Size:
		err = fmt.Errorf("content of %d bytes, want %d", n, e.Size)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	return nil
}

// contextReader fails once its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
