package scan

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/tree"
)

// stream marks the errors of a decompressor as the layer's fault, unless it was the source that failed.
type stream struct {
	r     io.Reader
	close func()
	kind  string
	src   *faultKeeper
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	switch {
	case err == io.EOF:
		// A decoder may take any failure between two frames for the end.
		err = s.src.fault(err)
	case err != nil:
		err = s.src.blame(s.kind, err)
	}
	return n, err
}

func (s *stream) Close() error {
	s.close()
	return nil
}

// faultKeeper remembers the first error of a reader other than io.EOF, so that a damaged stream can be told from a source
// that broke.
type faultKeeper struct {
	r   io.Reader
	err error
}

func (k *faultKeeper) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err != nil && err != io.EOF && k.err == nil {
		k.err = err
	}
	return n, err
}

// fault returns the source's error, or err if the source is well.
func (k *faultKeeper) fault(err error) error {
	if k.err != nil {
		return k.err
	}
	return err
}

// blame says whose fault a decoder's error is.
func (k *faultKeeper) blame(kind string, err error) error {
	if src := k.fault(nil); src != nil {
		return src
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return fmt.Errorf("%w: %s: %w", tree.ErrLimit, kind, err)
	}
	return fmt.Errorf("%w: %s: %w", tree.ErrInvalid, kind, err)
}
