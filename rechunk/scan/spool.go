package scan

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Spool keeps the contents of regular files on local disk, each digest once, while an image is worked on. Its file has no
// name, so that nothing is left behind when the process dies. It is safe for concurrent use.
type Spool struct {
	file *os.File

	mu    sync.RWMutex
	end   int64 // bytes handed out so far
	where map[tree.Digest]extent
}

type extent struct{ off, size int64 }

var _ tree.Contents = (*Spool)(nil)

// NewSpool makes an empty spool in a directory.
func NewSpool(dir string) (*Spool, error) {
	f, err := os.CreateTemp(dir, "spool-*")
	if err != nil {
		return nil, fmt.Errorf("making a spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("making a spool: %w", err)
	}
	return &Spool{file: f, where: map[tree.Digest]extent{}}, nil
}

// Close frees the disk space, and the memory. No content can be opened afterwards.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.where = nil
	return s.file.Close()
}

// Size returns the number of bytes that the spool takes on disk at most, those set aside for scans at work included.
func (s *Spool) Size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.end
}

// Open implements Contents.
func (s *Spool) Open(d tree.Digest) (io.ReadCloser, error) {
	s.mu.RLock()
	e, ok := s.where[d]
	s.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("%w: %s", tree.ErrNoContent, d)
	}
	return &spooled{*io.NewSectionReader(s.file, e.off, e.size)}, nil
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

// reserve hands out a stretch of n bytes: at pos if the caller's present stretch, of which left bytes remain from there on, is
// the last one, so that it only grows; else at the end.
func (s *Spool) reserve(n, pos, left int64) (off int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if off = s.end; pos+left == s.end {
		off = pos
	}
	s.end = off + n
	return off
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

// spoolWriter appends the contents of one layer. Small files share a buffer and a stretch of the file, so that an image of a
// hundred thousand files does not cost as many writes. Contents can be opened after flush.
type spoolWriter struct {
	s     *Spool
	buf   []byte // bytes not yet written, which belong at off
	off   int64
	left  int64 // bytes of the stretch behind off+len(buf) that are still free
	begin int64 // where the current content starts
	size  int64
	found map[tree.Digest]extent
}

const (
	spoolBuffer  = 1 << 20
	spoolStretch = 8 << 20
)

func newSpoolWriter(s *Spool) *spoolWriter {
	return &spoolWriter{s: s, buf: make([]byte, 0, spoolBuffer), found: map[tree.Digest]extent{}}
}

// start begins a content of at most size bytes.
func (w *spoolWriter) start(size int64) error {
	w.begin, w.size = w.off+int64(len(w.buf)), 0
	if size > w.left {
		n := max(size, spoolStretch)
		off := w.s.reserve(n, w.begin, w.left)
		if off != w.begin {
			if err := w.write(); err != nil {
				return err
			}
			w.off, w.begin = off, off
		}
		w.left = n
	}
	w.left -= size
	return nil
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	done := len(p)
	w.size += int64(done)
	for len(p) > 0 {
		n := min(len(p), cap(w.buf)-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
		if len(w.buf) == cap(w.buf) {
			if err := w.write(); err != nil {
				return 0, err
			}
		}
	}
	return done, nil
}

// finish ends the current content. One that is there already gives its room back: the next one takes its place.
func (w *spoolWriter) finish(d tree.Digest) {
	if _, mine := w.found[d]; !mine && !w.s.Has(d) {
		w.found[d] = extent{w.begin, w.size}
		return
	}
	w.left += w.size
	if w.begin < w.off {
		w.off, w.buf = w.begin, w.buf[:0]
		return
	}
	w.buf = w.buf[:w.begin-w.off]
}

func (w *spoolWriter) write() error {
	if len(w.buf) == 0 {
		return nil
	}
	if _, err := w.s.file.WriteAt(w.buf, w.off); err != nil {
		return fmt.Errorf("writing the spool: %w", err)
	}
	w.off += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// flush writes what is buffered and makes the contents known to the spool.
func (w *spoolWriter) flush() error {
	if err := w.write(); err != nil {
		return err
	}
	w.s.add(w.found)
	w.found = map[tree.Digest]extent{}
	w.s.reserve(0, w.off, w.left) // gives the rest of the stretch back if it is the last
	w.left = 0
	return nil
}
