package layer

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/strata-oci/strata/rechunk/tree"
)

// tarWriter writes lists as tar streams, one after another, with one buffer. It is for one goroutine at a time.
type tarWriter struct {
	buf    []byte
	header tar.Header

	dst   io.Writer
	out   *tar.Writer
	first map[string]bool // hardlink groups whose first member is written
}

// write writes a list: entries and whiteouts in path order, so that every directory precedes what it holds and the first
// name of a hardlink group, which is its name, precedes the others; then, in this order, too, the files that come last.
func (w *tarWriter) write(ctx context.Context, dst io.Writer, l *List) error {
	w.dst, w.out, w.first = dst, tar.NewWriter(dst), map[string]bool{}
	defer func() { w.dst, w.out, w.first = nil, nil, nil }()
	marks := l.marks
	for n := 0; n < len(l.entries) || len(marks) > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if n == len(l.entries) || len(marks) > 0 && tree.ComparePaths(marks[0], l.place(n)) < 0 {
			if err := w.mark(marks[0]); err != nil {
				return fmt.Errorf("%q: %w", marks[0], err)
			}
			marks = marks[1:]
			continue
		}
		if err := w.entry(ctx, l.entries[n], l.contents); err != nil {
			return err
		}
		n++
	}
	for _, e := range l.last {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := w.entry(ctx, e, l.contents); err != nil {
			return err
		}
	}
	return w.out.Close()
}

// mark writes the marker file of a whiteout.
func (w *tarWriter) mark(name string) error {
	w.header = tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: time.Unix(0, 0)}
	_, err := w.begin(&w.header)
	return err
}

func (w *tarWriter) entry(ctx context.Context, e *tree.Entry, contents tree.Contents) error {
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
	body, err := w.begin(h)
	if err == nil && h.Typeflag == tar.TypeReg && e.Size > 0 {
		err = w.file(ctx, body, e, contents)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	return nil
}

// begin writes a header and returns where the content goes.
func (w *tarWriter) begin(h *tar.Header) (io.Writer, error) {
	plain, err := isPlain(h)
	if err != nil {
		return nil, err
	}
	if plain {
		return w.out, w.out.WriteHeader(h)
	}
	if err := w.out.Flush(); err != nil {
		return nil, err
	}
	raw, err := rawHeader(h)
	if err == nil {
		_, err = w.dst.Write(raw)
	}
	return w.dst, err
}

// file writes a file's content.
func (w *tarWriter) file(ctx context.Context, body io.Writer, e *tree.Entry, contents tree.Contents) error {
	r, err := contents.Open(e.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := w.content(ctx, body, r, e.Size); err != nil || body == w.out {
		return err
	}
	_, err = body.Write(make([]byte, padding(e.Size)))
	return err
}

// content copies a file's content, which must be as long as its header said.
func (w *tarWriter) content(ctx context.Context, body io.Writer, r io.Reader, want int64) error {
	var size int64
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := r.Read(w.buf)
		if size += int64(n); size > want {
			return fmt.Errorf("content of more than %d bytes", want)
		}
		if _, werr := body.Write(w.buf[:n]); werr != nil {
			return werr
		}
		switch {
		case err == io.EOF && size < want:
			return fmt.Errorf("content of %d bytes, want %d", size, want)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
