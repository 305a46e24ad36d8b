package scan

import (
	"bytes"
	"fmt"

	"github.com/strata-oci/strata/rechunk/tree"
)

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
	// Where a content was given up, its bytes are on disk: up to paid they were counted, and from high on there are none.
	paid, high int64
	hole       int64 // where the current content's first hole is, -1 for none
}

const (
	spoolBuffer  = 1 << 20
	spoolStretch = 8 << 20
	// spoolHole is the least number of zeros in a row that are not written.
	spoolHole = 32 << 10
)

func newSpoolWriter(s *Spool) *spoolWriter {
	return &spoolWriter{s: s, buf: make([]byte, 0, spoolBuffer), found: map[tree.Digest]extent{}}
}

// start begins a content of at most size bytes.
func (w *spoolWriter) start(size int64) error {
	w.begin, w.size, w.hole = w.off+int64(len(w.buf)), 0, -1
	if size > w.left {
		n := max(size, spoolStretch)
		off, paid, high, err := w.s.reserve(n, w.begin, w.left)
		if err != nil {
			return err
		}
		switch {
		case off != w.begin:
			if err := w.write(); err != nil {
				return err
			}
			w.off, w.begin, w.paid, w.high = off, off, paid, high
		case w.paid >= w.begin+w.left: // up to where the stretch ended
			w.paid, w.high = max(w.paid, paid), max(w.high, high)
		default:
			w.high = max(w.high, high)
		}
		w.left = n
	}
	w.left -= size
	return nil
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	done := len(p)
	w.size += int64(done)
	if len(p) >= spoolHole && w.off+int64(len(w.buf)) >= w.high && isZero(p) {
		if err := w.write(); err != nil {
			return 0, err
		}
		if w.hole < 0 {
			w.hole = w.off
		}
		w.off += int64(done)
		return done, nil
	}
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

// isZero reports whether there is nothing but zeros.
func isZero(p []byte) bool { return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) }

// finish ends the current content. One that is there already gives its room back: the next one takes its place.
func (w *spoolWriter) finish(d tree.Digest) {
	if _, mine := w.found[d]; !mine && !w.s.Has(d) {
		w.found[d] = extent{w.begin, w.size}
		return
	}
	w.left += w.size
	if w.begin >= w.off {
		w.buf = w.buf[:w.begin-w.off]
		return
	}
	written := w.off
	if w.hole >= 0 {
		written = w.hole
	}
	w.paid = max(w.paid, written)
	w.off, w.buf = w.begin, w.buf[:0]
}

func (w *spoolWriter) write() error {
	if len(w.buf) == 0 {
		return nil
	}
	end := w.off + int64(len(w.buf))
	if n := end - max(w.off, w.paid); n > 0 {
		if err := w.s.take(n); err != nil {
			return err
		}
	}
	if _, err := w.s.file.WriteAt(w.buf, w.off); err != nil {
		return fmt.Errorf("writing the spool: %w", err)
	}
	w.off, w.high = end, max(w.high, end)
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
	w.s.giveBack(w.off, w.left, w.paid, w.high)
	w.left = 0
	return nil
}
