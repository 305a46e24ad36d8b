package scan

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/tree/origin"
)

// stream marks the errors of a decompressor as the layer's fault, unless it was the source that failed.
type stream struct {
	r     io.Reader
	close func()
	kind  string
	src   *origin.Reader
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	switch {
	case err == io.EOF:
		// A decoder may take any failure between two frames for the end.
		err = fault(s.src, err)
	case err != nil:
		err = blame(s.src, s.kind, err)
	}
	return n, err
}

func (s *stream) Close() error {
	s.close()
	return nil
}

// fault returns the source's error, or err if the source is well.
func fault(src *origin.Reader, err error) error {
	if src.Err() != nil {
		return src.Err()
	}
	return err
}

// blame says whose fault a decoder's error is.
func blame(src *origin.Reader, kind string, err error) error {
	if src.Err() != nil {
		return src.Err()
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return fmt.Errorf("%w: %s: %w", tree.ErrLimit, kind, err)
	}
	return fmt.Errorf("%w: %s: %w", tree.ErrInvalid, kind, err)
}
