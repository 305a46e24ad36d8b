package delta

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// sources are where the bytes of a delta come from: files of the seed, parts of them, and parts that were kept.
type sources struct {
	files    []File
	contents Contents
	lim      Limits
	memory   *memory
	work     *work
	open     map[int]*opened
	recent   recent // those that are open
	pages    pages
	used     map[int]bool
	slots    map[int]*blob   // what was unwrapped
	kept     map[int]*result // nil for those that are not done
}

// opened is a file of the seed that is open. It is for one goroutine.
type opened struct {
	Content
	file   File
	number int // in the header
	pages  *pages
}

// pages are runs of the seed's files that were read last: most reads are of a few hundred bytes, and in programs that were
// built again they go back and forth. Each page has one place where it can be.
type pages [pagesHeld]page

// page is such a run, if it has bytes.
type page struct {
	file  int // its number in the header
	at    int64
	bytes []byte
}

const (
	pageSize  = 8 << 10
	pagesHeld = 2048
)

// page returns the page with the byte at off, nil when it can't be read.
func (o *opened) page(off int64) *page {
	at := off &^ (pageSize - 1)
	p := &o.pages[(uint64(at/pageSize)+uint64(o.number)*0x9e3779b97f4a7c15>>32)%pagesHeld]
	if p.file == o.number && p.at == at && len(p.bytes) > 0 {
		return p
	}
	if p.bytes == nil {
		p.bytes = make([]byte, 0, pageSize)
	}
	p.file, p.at, p.bytes = o.number, at, p.bytes[:min(pageSize, o.file.Size-at)]
	if n, _ := o.Content.ReadAt(p.bytes, at); n < len(p.bytes) {
		p.bytes = p.bytes[:0]
		return nil
	}
	return p
}

// ReadAt implements io.ReaderAt. What can't be read of the file is ErrSource.
func (o *opened) ReadAt(b []byte, off int64) (int, error) {
	if len(b) > pageSize || off > o.file.Size-int64(len(b)) {
		return o.read(b, off)
	}
	for done := 0; done < len(b); {
		p := o.page(off + int64(done))
		if p == nil {
			return o.read(b, off)
		}
		done += copy(b[done:], p.bytes[off+int64(done)-p.at:])
	}
	return len(b), nil
}

// read reads what was asked for, and no more.
func (o *opened) read(p []byte, off int64) (int, error) {
	n, err := o.Content.ReadAt(p, off)
	if n == len(p) || off+int64(n) >= o.file.Size && (err == nil || errors.Is(err, io.EOF)) {
		return n, err
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("%w: %.200q: %w", ErrSource, o.file.Path, err)
}

const maxArgs = 64 // of an encoder

func newSources(d *Delta, o ApplyOptions, m *memory, w *work) *sources {
	return &sources{
		files: d.header.Sources, contents: o.Contents, lim: d.lim, memory: m, work: w,
		open: map[int]*opened{}, used: map[int]bool{}, slots: map[int]*blob{}, kept: map[int]*result{},
	}
}

// read fills b with bytes of a source.
func (s *sources) read(ctx context.Context, c cursor, b []byte) error {
	r, size, err := s.get(ctx, c.source)
	if err != nil {
		return err
	}
	if c.at < 0 || c.at > size-int64(len(b)) {
		return fmt.Errorf("%w: %d bytes at %d of a source of %d", ErrInvalid, len(b), c.at, size)
	}
	n, err := r.ReadAt(b, c.at)
	switch {
	case n == len(b):
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read a source: %w", err)
}

// get returns a source and its size.
func (s *sources) get(ctx context.Context, r ref) (io.ReaderAt, int64, error) {
	n := r.number()
	switch {
	case r < 0:
		return nil, 0, fmt.Errorf("%w: there is no current source", ErrInvalid)
	case r.kind() == 0 && n < len(s.files):
		c, err := s.file(ctx, n)
		return c, s.files[n].Size, err
	case r.kind() == 1 && s.slots[n] != nil:
		return s.slots[n], s.slots[n].Size(), nil
	case r.kind() == 2 && s.kept[n] != nil:
		b, err := s.kept[n].wait(ctx)
		if err != nil {
			return nil, 0, err
		}
		return b, b.Size(), nil
	}
	return nil, 0, fmt.Errorf("%w: source %d is not there", ErrInvalid, r)
}

// file opens a file of the seed, unless it is open.
func (s *sources) file(ctx context.Context, n int) (*opened, error) {
	fresh, gone := s.recent.touch(n)
	if o := s.open[n]; !fresh && o != nil {
		return o, nil
	}
	if c := s.open[gone]; c != nil {
		delete(s.open, gone)
		if err := c.Close(); err != nil {
			return nil, fmt.Errorf("close a file of the seed: %w", err)
		}
	}
	if err := s.work.open(); err != nil {
		return nil, err
	}
	o, err := s.opened(ctx, n)
	if err != nil {
		return nil, err
	}
	s.open[n], s.used[n] = o, true
	return o, nil
}

// opened opens a file of the seed.
func (s *sources) opened(ctx context.Context, n int) (*opened, error) {
	f := s.files[n]
	if s.contents == nil {
		return nil, fmt.Errorf("%w: %.200q", ErrSource, f.Path)
	}
	c, err := s.contents.Open(ctx, f)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%w: %.200q: %w", ErrSource, f.Path, err)
	case c.Size() != f.Size:
		return nil, errors.Join(fmt.Errorf("%w: %.200q has %d bytes, not %d", ErrSource, f.Path, c.Size(), f.Size),
			c.Close())
	}
	return &opened{Content: c, file: f, number: n, pages: &s.pages}, nil
}

// unwrap puts a part of a source into a slot.
func (s *sources) unwrap(ctx context.Context, n int, source ref, at, length int64, decoder string, size int64) error {
	if len(s.slots)+len(s.kept) >= s.lim.Parts {
		return fmt.Errorf("%w: %d parts", ErrLimit, s.lim.Parts)
	}
	r, have, err := s.get(ctx, source)
	if err != nil {
		return err
	}
	switch {
	case at > have-length:
		return fmt.Errorf("%w: a part of %d bytes at %d of a source of %d", ErrInvalid, length, at, have)
	case s.slots[n] != nil:
		return fmt.Errorf("%w: slot %d is taken", ErrInvalid, n)
	}
	if err := s.work.unwrap(length, size); err != nil {
		return err
	}
	b := newBlob(s.memory)
	s.slots[n] = b
	lim := wrap.DefaultLimits()
	lim.Plain = size
	window := min(lim.Window, size) // of the decoder, at most
	s.memory.free.Add(-window)
	err = wrap.Decode(ctx, decoder, io.NewSectionReader(r, at, length), b, lim)
	s.memory.free.Add(window)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, wrap.ErrInvalid) || errors.Is(err, wrap.ErrLimit): // of the delta or of the seed's file
		return fmt.Errorf("%w: unwrap %s: %w", ErrInvalid, decoder, err)
	case err != nil:
		return fmt.Errorf("unwrap %s: %w", decoder, err)
	case b.Size() != size:
		return fmt.Errorf("%w: unwrap %s: %d bytes instead of %d", ErrInvalid, decoder, b.Size(), size)
	}
	return nil
}

// promise reserves the number of a part that is to be kept; -1 is none.
func (s *sources) promise(n int) error {
	if n < 0 {
		return nil
	}
	if _, ok := s.kept[n]; ok {
		return fmt.Errorf("%w: there are two kept parts %d", ErrInvalid, n)
	}
	if len(s.kept)+len(s.slots) >= s.lim.Parts {
		return fmt.Errorf("%w: %d parts", ErrLimit, s.lim.Parts)
	}
	s.kept[n] = nil
	return nil
}

// check reads all files that were used, and finds the one that is not what it should be.
func (s *sources) check(ctx context.Context) error {
	for n := range s.files {
		if !s.used[n] {
			continue
		}
		if err := s.verify(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// verify reads a file of the seed and compares its digest.
func (s *sources) verify(ctx context.Context, n int) (err error) {
	o, err := s.opened(ctx, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	f := s.files[n]
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(o, 0, f.Size)); err != nil {
		return fmt.Errorf("check a file of the seed: %w", err)
	}
	if got := tree.Digest(sum.Sum(nil)); got != f.Digest {
		return fmt.Errorf("%w: %.200q is %s, not %s", ErrSource, f.Path, got, f.Digest)
	}
	return ctx.Err()
}

// drop empties a slot.
func (s *sources) drop(n int) error {
	b := s.slots[n]
	if b == nil {
		return fmt.Errorf("%w: slot %d is empty", ErrInvalid, n)
	}
	delete(s.slots, n)
	return b.Close()
}

// close closes the files of the seed. What was unwrapped or kept goes with the memory.
func (s *sources) close() error {
	var errs []error
	for _, o := range s.open {
		errs = append(errs, o.Close())
	}
	clear(s.open)
	return errors.Join(errs...)
}
