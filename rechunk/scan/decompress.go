package scan

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Decompress returns the tar stream inside a layer blob. The compression is told from the first bytes, since media types lie:
// gzip (any number of members), zstd (any number of frames, skippable ones included) or none. An error of r is returned as it
// is; one of the compression wraps tree.ErrInvalid or tree.ErrLimit. Close frees the decoder; it does not close r.
func Decompress(r io.Reader, lim tree.Limits) (io.ReadCloser, error) {
	src := &faultKeeper{r: r}
	return decompress(src, bufio.NewReaderSize(src, compressedBuffer), func(br io.Reader) (*decoder, error) {
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(lim.OrDefault().Window))
		if err != nil {
			return nil, err
		}
		return &decoder{r: z, close: z.Close}, nil
	})
}

const compressedBuffer = 256 << 10

// decompress is Decompress with the means to decode zstd.
func decompress(src *faultKeeper, br *bufio.Reader, unzstd func(io.Reader) (*decoder, error)) (io.ReadCloser, error) {
	magic, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case len(magic) == 0:
		return nil, tree.Invalidf("the blob is empty")
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, src.blame("gzip", err)
		}
		return &decoder{r: z, close: func() { _ = z.Close() }, kind: "gzip", src: src}, nil
	case isZstd(magic):
		d, err := unzstd(br)
		if err != nil {
			return nil, src.blame("zstd", err)
		}
		d.kind, d.src = "zstd", src
		return d, nil
	case bytes.HasPrefix(magic, []byte("BZh")), bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return nil, tree.Invalidf("compression is neither gzip nor zstd")
	}
	return io.NopCloser(br), nil
}

func isZstd(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	return bytes.Equal(b[:4], []byte{0x28, 0xb5, 0x2f, 0xfd}) || b[0]&0xf0 == 0x50 && bytes.Equal(b[1:4], []byte{0x2a, 0x4d, 0x18})
}

// decoder marks the errors of a decompressor as the layer's fault, unless it was the source that failed.
type decoder struct {
	r     io.Reader
	close func()
	kind  string
	src   *faultKeeper
}

func (d *decoder) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	switch {
	case err == io.EOF:
		// A decoder may take any failure between two frames for the end.
		err = d.src.fault(err)
	case err != nil:
		err = d.src.blame(d.kind, err)
	}
	return n, err
}

func (d *decoder) Close() error {
	d.close()
	return nil
}

// faultKeeper remembers the first error of a reader other than io.EOF, so that a damaged stream can be told from a source
// that broke.
type faultKeeper struct {
	r   io.Reader
	err atomic.Pointer[error]
}

func (k *faultKeeper) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err != nil && err != io.EOF {
		k.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

// fault returns the source's error, or err if the source is well.
func (k *faultKeeper) fault(err error) error {
	if src := k.err.Load(); src != nil {
		return *src
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
