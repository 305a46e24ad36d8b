package tardiff

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Options are what Make works with.
type Options struct {
	Version Version
	// Contents has the files of the old image.
	Contents delta.Contents
	// Scratch holds large files while they are matched; nil holds them in memory.
	Scratch delta.Scratch
	// Memory bounds what matching takes, in bytes; 0 stands for 512 MiB.
	Memory int64
}

// Make writes a tar-diff that makes the tar stream of the layer t of the files of an old image, which Nameable has chosen.
// Equal arguments give equal bytes. Of t, only Tar, TarSize, Entries and DiffID are looked at.
//
// Errors are those of w, t.Tar, the contents and ctx; delta.ErrInvalid when the tar stream has not the length or the digest
// that t says. What was written to w is of no use then.
func Make(ctx context.Context, w io.Writer, t delta.Target, old []delta.File, o Options) (delta.Report, error) {
	if o.Version != V2 {
		o.Version = V1
	}
	out, err := newWriter(w, o.Version, t.TarSize)
	if err != nil {
		return delta.Report{}, err
	}
	m := &maker{o: o, out: out, old: delta.NewFinder(old), entries: map[string]*tree.Entry{}}
	m.tape = tape{r: t.Tar, out: out, hash: sha256.New()}
	for i := range t.Entries {
		m.entries[t.Entries[i].Path] = &t.Entries[i]
	}
	if err := m.archive(ctx); err != nil {
		out.abandon()
		return delta.Report{}, err
	}
	if err := m.check(t); err != nil {
		out.abandon()
		return delta.Report{}, err
	}
	size, err := out.close()
	if err != nil {
		return delta.Report{}, err
	}
	r := delta.Report{Size: size, TarSize: t.TarSize, BlobSize: t.BlobSize, Items: m.items}
	share(&r, out.weight)
	return r, nil
}

// maker is the state of one call of Make.
type maker struct {
	o       Options
	out     *writer
	trial   *writer // nil until one is needed
	tape    tape
	old     *delta.Finder
	entries map[string]*tree.Entry
	items   []delta.Item
}

// tape is the tar stream. What is read of it becomes new bytes of the tar-diff, unless it is quiet.
type tape struct {
	r     io.Reader
	out   *writer
	quiet bool
	hash  hash.Hash
	n     int64
	err   error // of r
}

func (t *tape) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	t.hash.Write(p[:n])
	if err != nil && err != io.EOF {
		t.err = err
	}
	if !t.quiet {
		if werr := t.out.data(p[:n]); werr != nil {
			t.err = werr
			return 0, werr
		}
	}
	return n, err
}

// archive goes through the tar stream to its end. Where it is none, or none any longer, its bytes are new ones.
func (m *maker) archive(ctx context.Context) error {
	r := tar.NewReader(&m.tape)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := r.Next()
		if m.tape.err != nil {
			return m.tape.err
		}
		if err != nil { // the end, or no tar
			_, err := io.Copy(io.Discard, &m.tape)
			return err
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 || wrap.Sparse(h) {
			continue
		}
		if err := m.file(ctx, r, h); err != nil {
			return fmt.Errorf("%q: %w", shorten(h.Name), err)
		}
	}
}

// file writes the content of a file.
func (m *maker) file(ctx context.Context, r io.Reader, h *tar.Header) error {
	before := m.out.weight
	item := delta.Item{Path: h.Name, Size: h.Size, How: delta.Whole}
	path, err := tree.CleanPath(h.Name, tree.Limits{}.OrDefault())
	e := m.entries[path]
	if err == nil && e != nil && e.Kind == tree.Regular && e.Size == h.Size {
		item.Path = path
		m.tape.quiet = true
		err = m.known(ctx, r, e, &item)
		m.tape.quiet = false
	} else {
		err = nil
	}
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, r) // new bytes: what is left; an archive that ends here ends with it
	item.Bytes = m.out.weight - before
	m.items = append(m.items, item)
	return m.tape.err
}

// known writes the content of a file that the index knows, and says how.
func (m *maker) known(ctx context.Context, r io.Reader, e *tree.Entry, item *delta.Item) error {
	if f, ok := m.old.Same(e.Digest, e.Size); ok {
		c, err := m.open(ctx, f)
		if err != nil {
			return err
		}
		defer c.Close()
		item.How, item.Source = delta.Patch, f.Path
		whole, err := m.equal(r, f, c)
		if whole {
			item.How = delta.Same
		}
		return err
	}
	if len(m.old.Near(e.Path, e.Size)) == 0 {
		m.tape.quiet = false
		item.Why = "no file of the old image is like it"
		return nil
	}
	return m.patch(ctx, r, e, item)
}

// open opens a file of the old image.
func (m *maker) open(ctx context.Context, f delta.File) (delta.Content, error) {
	c, err := m.o.Contents.Open(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("opening %q of the old image: %w", f.Path, err)
	}
	return c, nil
}

// equal copies a source as far as the file goes on like it. A path that is twice in the stream has other bytes than the
// index says.
func (m *maker) equal(r io.Reader, f delta.File, c delta.Content) (bool, error) {
	var at int64
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(r, a)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, err
		}
		got, rerr := c.ReadAt(b[:n], at)
		if rerr != nil && rerr != io.EOF {
			return false, fmt.Errorf("reading %q of the old image: %w", f.Path, rerr)
		}
		like := prefix(a[:n], b[:got])
		at += int64(like)
		done := like < n || err != nil
		if !done {
			continue
		}
		if at > 0 {
			if err := m.out.copy(f.Path, 0, at); err != nil {
				return false, err
			}
		}
		m.tape.quiet = false
		return like == n, m.out.data(a[like:n])
	}
}

// prefix is the number of bytes that two slices begin with alike.
func prefix(a, b []byte) int {
	n := min(len(a), len(b))
	if bytes.Equal(a[:n], b[:n]) {
		return n
	}
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// check compares the stream with what the target says of it.
func (m *maker) check(t delta.Target) error {
	if m.tape.n != t.TarSize {
		return fmt.Errorf("%w: the tar stream has %d bytes, not %d", delta.ErrInvalid, m.tape.n, t.TarSize)
	}
	if got := hex.EncodeToString(m.tape.hash.Sum(nil)); got != t.DiffID.Encoded() {
		return fmt.Errorf("%w: the tar stream has the digest sha256:%s, not %s", delta.ErrInvalid, got, t.DiffID)
	}
	return nil
}

// share shares the size of a tar-diff out among its items, by their weights.
func share(r *delta.Report, all int64) {
	if all == 0 {
		r.Headers = r.Size
		return
	}
	rest := r.Size
	for i := range r.Items {
		r.Items[i].Bytes = int64(float64(r.Size) * float64(r.Items[i].Bytes) / float64(all))
		rest -= r.Items[i].Bytes
	}
	r.Headers = rest
}
