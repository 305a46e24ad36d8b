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
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Blob describes a layer blob.
type Blob struct {
	// Size is the length of the compressed blob in bytes.
	Size int64
	// TarSize is the length of the uncompressed tar stream in bytes.
	TarSize int64
}

// Writer makes the blobs of layers, one after another, with one compressor and its buffers. Its bytes do not depend on what it wrote
// before. It is for one goroutine at a time.
type Writer struct {
	z     compressor
	blob  counter
	plain counter
	// Compressing the tar in large pieces costs less than one call per 512-byte header.
	buf     *bufio.Writer
	copyBuf []byte
	header  tar.Header
	job
}

// job is the layer that is being written.
type job struct {
	ctx      context.Context
	tar      *tar.Writer
	tree     *tree.Tree
	contents tree.Contents
	first    map[string]bool // hardlink groups whose first member is written
}

// NewWriter makes a writer of layers that are compressed with c.
func NewWriter(c Compression) (*Writer, error) {
	w := &Writer{copyBuf: make([]byte, 64<<10)}
	w.buf = bufio.NewWriterSize(&w.plain, 64<<10)
	var err error
	w.z, err = c.compress(io.Discard)
	return w, err
}

// Write writes the blob of a new layer to dst. It fails when a content is not as long as its entry says, and soon after ctx ends.
// Nothing is hashed: who stores the blob knows its digest, and that it holds the right bytes is for Read to find, and its diff_id.
func (w *Writer) Write(ctx context.Context, dst io.Writer, t *tree.Tree, l *plan.Layer, contents tree.Contents) (Blob, error) {
	w.blob = counter{w: dst}
	w.z.Reset(&w.blob)
	w.plain = counter{w: w.z}
	w.buf.Reset(&w.plain)
	w.job = job{ctx: ctx, tar: tar.NewWriter(w.buf), tree: t, contents: contents, first: map[string]bool{}}
	err := w.layer(l)
	if err == nil {
		err = w.tar.Close()
	}
	if err == nil {
		err = w.buf.Flush()
	}
	// The encoder is closed in any case: it may hold goroutines.
	if cerr := w.z.Close(); err == nil {
		err = cerr
	}
	w.job = job{}
	if err != nil {
		return Blob{}, fmt.Errorf("writing layer %q: %w", l.Name, err)
	}
	return Blob{Size: w.blob.n, TarSize: w.plain.n}, nil
}

// Write writes the blob of one new layer, as Writer.Write does.
func Write(ctx context.Context, dst io.Writer, t *tree.Tree, l *plan.Layer, contents tree.Contents, c Compression) (Blob, error) {
	w, err := NewWriter(c)
	if err != nil {
		return Blob{}, err
	}
	return w.Write(ctx, dst, t, l, contents)
}

// counter passes bytes on and counts them.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// layer writes entries and whiteouts in path order, so that every directory precedes what it holds and the first name of a
// hardlink group, which is its name, precedes the others.
func (w *Writer) layer(l *plan.Layer) error {
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
	in := make([]bool, len(t.Entries))
	count := 0
	add := func(i int) {
		if !in[i] {
			in[i] = true
			count++
		}
	}
	known := map[string]bool{}
	last := "" // entries of a directory mostly follow each other
	addDirs := func(p string) error {
		d := tree.Parent(p)
		if d == last {
			return nil
		}
		for last = d; !known[d]; d = tree.Parent(d) {
			known[d] = true
			i, ok := t.Find(d)
			if !ok || t.Entries[i].Kind != tree.Dir {
				return fmt.Errorf("%q lies in %q, which is no directory of the tree", p, d)
			}
			add(i)
		}
		return nil
	}
	for _, i := range l.Entries {
		add(i)
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
	out := make([]int, 0, count)
	for i, held := range in {
		if held {
			out = append(out, i)
		}
	}
	return out, nil
}

func (w *Writer) entry(e *tree.Entry) error {
	h := &w.header
	if err := setHeader(h, e); err != nil {
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
	if err := w.content(e); err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	return nil
}

// content copies a file's content.
func (w *Writer) content(e *tree.Entry) error {
	r, err := w.contents.Open(e.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	var size int64
	for {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		n, err := r.Read(w.copyBuf)
		if size += int64(n); size > e.Size {
			return fmt.Errorf("content of more than %d bytes", e.Size)
		}
		if _, werr := w.tar.Write(w.copyBuf[:n]); werr != nil {
			return werr
		}
		switch {
		case err == io.EOF && size < e.Size:
			return fmt.Errorf("content of %d bytes, want %d", size, e.Size)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
