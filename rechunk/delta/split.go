package delta

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// splitter takes a tar stream apart into the contents of regular files and what lies between them.
type splitter struct {
	raw *recorder
	tar *tar.Reader
	end bool
}

// recorder reads the stream, hashes it, and keeps what is not content.
type recorder struct {
	r       io.Reader
	sum     hash.Hash
	n       int64
	content bool // what is read now is content
	between []byte
	spill   func([]byte) error // takes what is between, when it is long
	err     error              // of r or spill
}

func newSplitter(r io.Reader, spill func([]byte) error) *splitter {
	raw := &recorder{r: r, sum: sha256.New(), spill: spill}
	return &splitter{raw: raw, tar: tar.NewReader(raw)}
}

// Read implements io.Reader.
func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	r.sum.Write(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	if r.content {
		return n, err
	}
	r.between = append(r.between, p[:n]...)
	if len(r.between) >= pieceMost {
		if err := r.spill(r.between); err != nil {
			r.err = err
			return n, err
		}
		r.between = r.between[:0]
	}
	return n, err
}

// next gives the header of the next regular file with content; what lies before it is in raw.between, until the next call.
// It returns io.EOF when the stream is at its end.
func (s *splitter) next() (*tar.Header, error) {
	s.raw.content = false
	s.raw.between = s.raw.between[:0]
	for !s.end {
		h, err := s.tar.Next()
		switch {
		case s.raw.err != nil:
			return nil, fmt.Errorf("read the layer: %w", s.raw.err)
		case err != nil: // the end of the archive, or what is none
			s.end = true
		case h.Typeflag == tar.TypeReg && h.Size > 0 && !wrap.Sparse(h):
			s.raw.content = true
			return h, nil
		}
	}
	if _, err := io.Copy(io.Discard, s.raw); err != nil {
		return nil, fmt.Errorf("read the layer: %w", err)
	}
	return nil, io.EOF
}
