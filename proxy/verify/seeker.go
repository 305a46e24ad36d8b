package verify

import (
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// ReadSeeker is a Reader of content that can be read from any offset. It is for one goroutine.
//
// What is read from the first byte on is verified, also in pieces: reading on where the verified part ended goes on with it.
// What is read elsewhere is passed on as it is, since only the whole has a digest.
type ReadSeeker struct {
	src   io.ReadSeeker
	whole *Reader
	size  int64
	off   int64 // of the next Read
	at    int64 // where src is
	err   error // the first but io.EOF
}

// NewReadSeeker returns a reader of src, which stands at its first byte. The size must be known.
func NewReadSeeker(src io.ReadSeeker, d digest.Digest, size int64) *ReadSeeker {
	s := &ReadSeeker{src: src, size: size}
	s.whole = NewReader(tracked{s}, d, size)
	return s
}

// tracked is the source, its position kept.
type tracked struct{ s *ReadSeeker }

func (t tracked) Read(p []byte) (int, error) {
	n, err := t.s.src.Read(p)
	t.s.at += int64(max(n, 0))
	return n, err
}

// Read implements io.Reader. After an error other than io.EOF every Read gives it, wherever it would begin.
func (s *ReadSeeker) Read(p []byte) (int, error) {
	if s.err != nil || len(p) == 0 {
		return 0, s.err
	}
	from, r := s.off, io.Reader(tracked{s})
	switch given := s.whole.given(); {
	case s.off < given:
		p = p[:min(int64(len(p)), given-s.off)] // up to where verifying goes on
	case s.off == given && !s.whole.ended():
		from, r = s.whole.got, s.whole
	}
	if err := s.align(from); err != nil {
		s.err = err
		return 0, err
	}
	n, err := r.Read(p)
	s.off += int64(max(n, 0))
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// align brings the source to an offset.
func (s *ReadSeeker) align(off int64) error {
	if s.at == off {
		return nil
	}
	at, err := s.src.Seek(off, io.SeekStart)
	if err == nil {
		s.at = at
	}
	return err
}

// Seek implements io.Seeker. It does not touch the source.
func (s *ReadSeeker) Seek(offset int64, whence int) (int64, error) {
	off, err := Offset(s.off, s.size, offset, whence)
	if err == nil {
		s.off = off
	}
	return off, err
}

// Verified reports whether all of the content was read in order and was right.
func (s *ReadSeeker) Verified() bool { return s.whole.Verified() }

// Offset is where a Seek leads: for io.Seekers that stand at pos in content of a size.
func Offset(pos, size, offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += pos
	case io.SeekEnd:
		offset += size
	default:
		return 0, fmt.Errorf("seek: unknown whence %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("seek: position is before the start")
	}
	return offset, nil
}
