package layer

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/layer/toc"
)

// Compressed is a format that makes a layer's blob of its tar stream by compressing that.
type Compressed string

// The formats that compress the tar stream as a whole: one zstd frame (RFC 8878), or one gzip member (RFC 1952), which
// every bootc backend reads. Its composefs backend up to 1.16.9 stops reading at the end of the first zstd frame, and the
// ostree backend at that of the first gzip member.
//
// Chunked has many frames: one for each piece of a file, so that clients fetch what they lack by ranges (zstd:chunked). All
// other clients read it as zstd.
const (
	Zstd    Compressed = "zstd"
	Gzip    Compressed = "gzip"
	Chunked Compressed = "zstd:chunked"
)

const (
	// library and libraryVersion name the encoders' code; go.mod has the same version.
	library        = "klauspost/compress"
	libraryVersion = "v1.20.3"
	// zstdWindow is what every decoder accepts without being told to (RFC 8878, section 3.1.1.1.2).
	zstdWindow = 8 << 20
	// gzipLevel is where the curve bends: on a Debian system, level 9 takes five times as long for 0.7 % less.
	gzipLevel = 7
)

// Spec implements Format.
func (c Compressed) Spec() Spec {
	encoder := Encoder{Library: library, Version: libraryVersion}
	mediaType := ocispec.MediaTypeImageLayerZstd
	switch c {
	case Zstd:
		encoder.Settings = fmt.Sprintf("zstd level=better window=%dMiB crc", zstdWindow>>20)
	case Gzip:
		encoder.Settings = fmt.Sprintf("gzip level=%d", gzipLevel)
		mediaType = ocispec.MediaTypeImageLayerGzip
	case Chunked:
		encoder = chunkedEncoder()
	}
	return Spec{Name: string(c), MediaType: mediaType, Encoder: encoder, Partial: c == Chunked}
}

// NewReader implements Format.
func (Compressed) NewReader() Reader { return &tarReader{} }

// Keeps implements Format. One frame or member per layer is what Zstd and Gzip promise.
func (c Compressed) Keeps(mediaType string, annotations map[string]string) bool {
	return mediaType == c.Spec().MediaType && (c == Chunked || !toc.Told(annotations))
}

// NewWriter implements Format.
func (c Compressed) NewWriter() (Writer, error) {
	z, err := c.compressor()
	if err != nil {
		return nil, err
	}
	w := &compressedWriter{format: c, z: z}
	w.buf = bufio.NewWriterSize(&w.plain, 64<<10)
	w.tar.buf = make([]byte, 64<<10)
	return w, nil
}

// compressor is what the encoders have in common. Reset makes it as new; after one it wants a Close.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// compressor makes an encoder. One goroutine encodes, since layers are written in parallel.
//
// On a Debian system, zstd's "better" gives 7 % less than "default" for four times the time, which still fits beside the
// decompression of the source; "best" gives another 6 % for more than three times that.
func (c Compressed) compressor() (compressor, error) {
	switch c {
	case Gzip:
		return gzip.NewWriterLevel(io.Discard, gzipLevel)
	case Zstd:
		return zstd.NewWriter(io.Discard, zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
			zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	case Chunked:
		return &chunker{}, nil
	}
	return nil, fmt.Errorf("compression %q is not known", string(c))
}

// compressedWriter is the Writer of these formats.
type compressedWriter struct {
	format Compressed
	z      compressor
	blob   counter
	plain  counter
	// Compressing the tar in large pieces costs less than one call per 512-byte header.
	buf *bufio.Writer
	tar tarWriter
	// plainly writes what gets no table of contents; made when it is needed.
	plainly Writer
}

// Write implements Writer.
func (w *compressedWriter) Write(ctx context.Context, dst io.Writer, l *List) (Blob, error) {
	if w.format == Chunked {
		why, err := w.untold(ctx, l)
		if err != nil {
			return Blob{}, fmt.Errorf("writing a layer: %w", err)
		}
		if why != "" {
			return w.writePlainly(ctx, dst, l, why)
		}
	}
	w.blob = counter{w: dst}
	w.z.Reset(&w.blob)
	w.plain = counter{w: w.z}
	w.buf.Reset(&w.plain)
	err := w.tar.write(ctx, w.buf, l)
	if err == nil {
		err = w.buf.Flush()
	}
	// The encoder is closed in any case: it may hold goroutines.
	if cerr := w.z.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return Blob{}, fmt.Errorf("writing a layer: %w", err)
	}
	return Blob{Size: w.blob.n, TarSize: w.plain.n, Annotations: notes(w.z)}, nil
}

// counter passes bytes on and counts them.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
