package scan

import (
	"bufio"
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/tree/origin"
)

// Decoder decompresses layers one after another with the same buffers, which take more memory than all else that a small
// layer needs. It does so in the goroutine that reads: several of them share the cores, and no panic is out of its reader's
// reach. The zero value is ready; it is for one goroutine at a time. Close frees the buffers.
type Decoder struct {
	br     *bufio.Reader
	zstd   *zstd.Decoder // nil until one is needed
	window uint64        // the largest that it decodes
}

const compressedBuffer = 256 << 10

// Decompress returns the tar stream inside a layer blob. The compression is told from the first bytes, since media types
// lie: gzip (any number of members), zstd (any number of frames, skippable ones included) or none; a blob without bytes is a
// stream without bytes. An error of r is returned as it is; one of the compression wraps tree.ErrInvalid or tree.ErrLimit.
// Close frees the decoder; it does not close r.
func Decompress(r io.Reader, lim tree.Limits) (io.ReadCloser, error) {
	var d Decoder
	s, err := d.open(r, lim.OrDefault())
	if err != nil {
		d.Close()
		return nil, err
	}
	return &decompressed{s, &d}, nil
}

// decompressed is a stream with a decoder of its own.
type decompressed struct {
	io.ReadCloser
	decoder *Decoder
}

func (s *decompressed) Close() error {
	err := s.ReadCloser.Close()
	s.decoder.Close()
	return err
}

// open is Decompress. What it returns is to be closed before the next layer is opened.
func (d *Decoder) open(r io.Reader, lim tree.Limits) (io.ReadCloser, error) {
	src := origin.New(r)
	if d.br == nil {
		d.br = bufio.NewReaderSize(src, compressedBuffer)
	}
	d.br.Reset(src)
	magic, err := d.br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(d.br)
		if err != nil {
			return nil, blame(src, "gzip", err)
		}
		return &stream{r: z, close: func() { _ = z.Close() }, kind: "gzip", src: src}, nil
	case isZstd(magic):
		if err := d.unzstd(lim.Window); err != nil {
			return nil, blame(src, "zstd", err)
		}
		return &stream{r: d.zstd, close: func() { _ = d.zstd.Reset(nil) }, kind: "zstd", src: src}, nil
	case bytes.HasPrefix(magic, []byte("BZh")), bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return nil, tree.Invalidf("compression is neither gzip nor zstd")
	}
	return io.NopCloser(d.br), nil
}

// unzstd has the zstd decoder begin.
func (d *Decoder) unzstd(window uint64) (err error) {
	if d.zstd != nil && d.window != window {
		d.zstd.Close()
		d.zstd = nil
	}
	if d.zstd == nil {
		d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return err
		}
		d.window = window
	}
	return d.zstd.Reset(d.br)
}

// Close frees the buffers. The decoder makes new ones when it is used again.
func (d *Decoder) Close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
	*d = Decoder{}
}

func isZstd(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	return bytes.Equal(b[:4], []byte{0x28, 0xb5, 0x2f, 0xfd}) || b[0]&0xf0 == 0x50 &&
		bytes.Equal(b[1:4], []byte{0x2a, 0x4d, 0x18})
}
