package scan

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrSpoolFull marks contents for which there is no room: the error of Space is wrapped beside it.
var ErrSpoolFull = errors.New("the spool is full")

// Space bounds what spools and others take of the disk. It is safe for concurrent use.
type Space interface {
	// Take books n bytes more for a spool that has own. An error that wraps tree.ErrLimit says that the spool takes too
	// much, any other that there is no room at the moment.
	Take(own, n int64) error
	// Give returns n booked bytes.
	Give(n int64)
}

// TempPattern is how the files of spools are named, as os.CreateTemp takes it, in the moment between their making and the
// loss of their name. A process that is killed then leaves one behind.
const TempPattern = "strata-tmp-spool-*"

// Spool keeps the contents of regular files on local disk, each digest once, while an image is worked on. Long runs of zeros
// are holes of its file, which has no name, so that nothing is left behind when the process dies. It is safe for concurrent
// use.
type Spool struct {
	file  *os.File
	space Space // nil for no bound

	mu    sync.RWMutex
	end   int64 // offsets handed out so far
	size  int64 // of the file
	taken int64 // bytes on disk
	// Behind end lies what was written and given up: up to paid it is on disk and counted, and from high on there is
	// nothing.
	paid, high int64
	where      map[tree.Digest]extent
}

type extent struct{ off, size int64 }

var _ tree.Contents = (*Spool)(nil)

// NewSpool makes an empty spool in a directory, which takes the bytes that it writes from space; nil stands for no bound.
// Where there are none left, the scan that needs them fails with ErrSpoolFull.
func NewSpool(dir string, space Space) (*Spool, error) {
	f, err := os.CreateTemp(dir, TempPattern)
	if err != nil {
		return nil, fmt.Errorf("making a spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("making a spool: %w", err)
	}
	return &Spool{file: f, space: space, where: map[tree.Digest]extent{}}, nil
}

// Close frees the disk space, and the memory. No content can be opened afterwards.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.where = nil
	if s.space != nil {
		s.space.Give(s.taken)
	}
	s.taken = 0
	return s.file.Close()
}

// Size returns the number of bytes that the spool takes on disk at most.
func (s *Spool) Size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.taken
}

// Open implements tree.Contents.
func (s *Spool) Open(d tree.Digest) (io.ReadCloser, error) {
	section, err := s.Section(d)
	if err != nil {
		return nil, err
	}
	return &spooled{*section}, nil
}

// Section returns a content to be read at random, as long as the spool is open.
func (s *Spool) Section(d tree.Digest) (*io.SectionReader, error) {
	s.mu.RLock()
	e, ok := s.where[d]
	s.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("%w: %s", tree.ErrNoContent, d)
	}
	return io.NewSectionReader(s.file, e.off, e.size), nil
}

// spooled reads a content.
type spooled struct{ io.SectionReader }

// Close implements io.Closer.
func (*spooled) Close() error { return nil }

// Has reports whether the spool holds a content.
func (s *Spool) Has(d tree.Digest) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.where[d]
	return ok
}

// reserve hands out a stretch of n bytes: at pos if the caller's present stretch, of which left bytes remain from there on,
// is the last one, so that it only grows; else at the end. It returns up to where it is paid for, and from where on it is
// empty.
func (s *Spool) reserve(n, pos, left int64) (off, paid, high int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if off = s.end; pos+left == s.end {
		off = pos
	}
	s.end = off + n
	if s.end > s.size { // a content may end with a hole
		if err := s.file.Truncate(s.end); err != nil {
			return 0, 0, 0, fmt.Errorf("growing the spool: %w", err)
		}
		s.size = s.end
	}
	return off, s.paid, s.high, nil
}

// giveBack takes the rest of a stretch back if it is the last.
func (s *Spool) giveBack(pos, left, paid, high int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pos+left != s.end {
		return
	}
	if paid < s.end {
		s.paid = paid
	}
	s.end, s.high = pos, max(s.high, high)
}

// take counts bytes that are about to be written.
func (s *Spool) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.space != nil {
		if err := s.space.Take(s.taken, n); err != nil {
			return fmt.Errorf("%w: %w", ErrSpoolFull, err)
		}
	}
	s.taken += n
	return nil
}

// add makes contents known, and takes the map over.
func (s *Spool) add(found map[tree.Digest]extent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.where) == 0 {
		s.where = found
		return
	}
	for d, e := range found {
		if _, ok := s.where[d]; !ok {
			s.where[d] = e
		}
	}
}
