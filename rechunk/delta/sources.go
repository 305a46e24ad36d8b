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
	open     map[int]*opened
	clock    int
	used     map[int]bool
	slots    map[int]*slot
	kept     map[int]*result
	plain    int64 // bytes that parts were unwrapped to
}

// opened is a file of the seed that is open.
type opened struct {
	Content
	file File
	last int // when it was read last
}

// ReadAt implements io.ReaderAt. What can't be read of the file is ErrSource.
func (o *opened) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.Content.ReadAt(p, off)
	if n == len(p) || off+int64(n) >= o.file.Size && (err == nil || errors.Is(err, io.EOF)) {
		return n, err
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("%w: %.200q: %w", ErrSource, o.file.Path, err)
}

// slot is a part of a source.
type slot struct {
	source   ref
	at, size int64
	plain    *blob // what it was unwrapped to; nil for a run of the source
}

const (
	maxOpen = 64 // files of the seed
	maxArgs = 64 // of an encoder
)

func newSources(d *Delta, o ApplyOptions, m *memory) *sources {
	return &sources{
		files: d.header.Sources, contents: o.Contents, lim: d.lim, memory: m,
		open: map[int]*opened{}, used: map[int]bool{}, slots: map[int]*slot{}, kept: map[int]*result{},
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
		p := s.slots[n]
		if p.plain != nil {
			return p.plain, p.size, nil
		}
		in, _, err := s.get(ctx, p.source)
		return io.NewSectionReader(in, p.at, p.size), p.size, err
	case r.kind() == 2 && s.kept[n] != nil:
		b, err := s.kept[n].wait(ctx)
		if err != nil {
			return nil, 0, err
		}
		return b, b.Size(), nil
	}
	return nil, 0, fmt.Errorf("%w: source %d is not there", ErrInvalid, r)
}

// file opens a file of the seed.
func (s *sources) file(ctx context.Context, n int) (Content, error) {
	s.clock++
	if o := s.open[n]; o != nil {
		o.last = s.clock
		return o, nil
	}
	if err := s.makeRoom(); err != nil {
		return nil, err
	}
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
	}
	o := &opened{Content: c, file: f, last: s.clock}
	s.open[n], s.used[n] = o, true
	if c.Size() != f.Size {
		return nil, fmt.Errorf("%w: %.200q has %d bytes, not %d", ErrSource, f.Path, c.Size(), f.Size)
	}
	return o, nil
}

// makeRoom closes the file that was not read for the longest time, when many are open.
func (s *sources) makeRoom() error {
	if len(s.open) < maxOpen {
		return nil
	}
	oldest := -1
	for n, o := range s.open {
		if oldest < 0 || o.last < s.open[oldest].last {
			oldest = n
		}
	}
	c := s.open[oldest]
	delete(s.open, oldest)
	if err := c.Close(); err != nil {
		return fmt.Errorf("close a file of the seed: %w", err)
	}
	return nil
}

// unwrap puts a part of a source into a slot.
func (s *sources) unwrap(ctx context.Context, n int, source ref, at, length int64, decoder string, size int64) error {
	if len(s.slots)+len(s.kept) >= s.lim.Parts || size > s.lim.Part {
		return fmt.Errorf("%w: %d parts, one of %d bytes", ErrLimit, len(s.slots)+len(s.kept), size)
	}
	r, have, err := s.get(ctx, source)
	if err != nil {
		return err
	}
	switch {
	case at > have-length || decoder == "" && size != length:
		return fmt.Errorf("%w: a part of %d bytes at %d of a source of %d", ErrInvalid, length, at, have)
	case source.kind() == 1 && source.number() == n:
		return fmt.Errorf("%w: slot %d is a part of itself", ErrInvalid, n)
	case s.slots[n] != nil:
		return fmt.Errorf("%w: slot %d is taken", ErrInvalid, n)
	case decoder == "":
		if p := s.slots[source.number()]; source.kind() == 1 && p.plain == nil {
			source, at = p.source, p.at+at // so that runs of runs are no chain
		}
		s.slots[n] = &slot{source: source, at: at, size: size}
		return nil
	}
	if s.plain += size; s.plain > s.lim.Unwrapped {
		return fmt.Errorf("%w: parts of %d bytes in all", ErrLimit, s.plain)
	}
	b := newBlob(s.memory)
	s.slots[n] = &slot{size: size, plain: b}
	lim := wrap.DefaultLimits()
	lim.Plain = size
	err = wrap.Decode(ctx, decoder, io.NewSectionReader(r, at, length), b, lim)
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
func (s *sources) verify(ctx context.Context, n int) error {
	c, err := s.file(ctx, n)
	if err != nil {
		return err
	}
	f := s.files[n]
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(c, 0, f.Size)); err != nil {
		return fmt.Errorf("check a file of the seed: %w", err)
	}
	if got := tree.Digest(sum.Sum(nil)); got != f.Digest {
		return fmt.Errorf("%w: %.200q is %s, not %s", ErrSource, f.Path, got, f.Digest)
	}
	return ctx.Err()
}

// drop empties a slot.
func (s *sources) drop(n int) error {
	p := s.slots[n]
	if p == nil {
		return fmt.Errorf("%w: slot %d is empty", ErrInvalid, n)
	}
	delete(s.slots, n)
	if p.plain == nil {
		return nil
	}
	return p.plain.Close()
}

// clear empties the slots.
func (s *sources) clear() error {
	var errs []error
	for _, p := range s.slots {
		if p.plain != nil {
			errs = append(errs, p.plain.Close())
		}
	}
	clear(s.slots)
	return errors.Join(errs...)
}

func (s *sources) close() error {
	errs := []error{s.clear()}
	for _, o := range s.open {
		errs = append(errs, o.Close())
	}
	clear(s.open)
	for _, r := range s.kept {
		errs = append(errs, r.drop())
	}
	clear(s.kept)
	return errors.Join(errs...)
}
