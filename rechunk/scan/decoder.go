package scan

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Decoder decompresses layers one after another with the same buffers, which take more memory than all else that a small layer
// needs. It does so in the goroutine that reads, so that several of them share the cores. The zero value is ready; it is for one
// goroutine at a time. Close frees the buffers.
type Decoder struct {
	br     *bufio.Reader
	zstd   *zstd.Decoder // nil until one is needed
	window uint64        // the largest that it decodes
}

// open is Decompress. What it returns is to be closed before the next layer is opened.
func (d *Decoder) open(r io.Reader, lim tree.Limits) (io.ReadCloser, error) {
	src := &faultKeeper{r: r}
	if d.br == nil {
		d.br = bufio.NewReaderSize(src, compressedBuffer)
	}
	d.br.Reset(src)
	return decompress(src, d.br, func(br io.Reader) (*decoder, error) { return d.unzstd(br, lim.OrDefault().Window) })
}

func (d *Decoder) unzstd(br io.Reader, window uint64) (*decoder, error) {
	if d.zstd != nil && d.window != window {
		d.Close()
	}
	if d.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return nil, err
		}
		d.zstd, d.window = z, window
	}
	if err := d.zstd.Reset(br); err != nil {
		return nil, err
	}
	return &decoder{r: d.zstd, close: func() { _ = d.zstd.Reset(nil) }}, nil
}

// Close frees the buffers. The decoder makes new ones when it is used again.
func (d *Decoder) Close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
	*d = Decoder{}
}
