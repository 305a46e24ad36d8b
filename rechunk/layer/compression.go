package layer

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Compression is how new layers are compressed.
type Compression string

// The compressions that every bootc backend reads.
const (
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
)

// ParseCompression returns the compression with the given name.
func ParseCompression(name string) (Compression, error) {
	switch c := Compression(name); c {
	case Zstd, Gzip:
		return c, nil
	}
	return "", fmt.Errorf("compression %q is not known: use zstd or gzip", name)
}

// MediaType is the OCI media type of a layer compressed so.
func (c Compression) MediaType() string {
	if c == Gzip {
		return ocispec.MediaTypeImageLayerGzip
	}
	return ocispec.MediaTypeImageLayerZstd
}

// Encoder names the encoder and its options. It is recorded in every plan: bytes are only reproducible with the same one, and
// the golden digests of the tests fail when a library update changes them.
func (c Compression) Encoder() string {
	if c == Gzip {
		return fmt.Sprintf("klauspost/compress gzip level=%d", gzipLevel)
	}
	return "klauspost/compress zstd level=better window=8MiB crc"
}

const (
	// zstdWindow is what every decoder accepts without being told to (RFC 8878, section 3.1.1.1.2).
	zstdWindow = 8 << 20
	// gzipLevel is where the curve bends: on a Debian system, level 9 takes five times as long for 0.7 % less.
	gzipLevel = 7
)

// compressor is what writers of zstd and gzip have in common. Reset makes it as new.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// compress returns a writer that gives one zstd frame or one gzip member: the composefs backend of bootc up to 1.16 and the
// ostree backend stop reading at the end of the first. One goroutine encodes, since layers are written in parallel.
//
// On a Debian system, zstd's "better" gives 7 % less than "default" for four times the time, which still fits beside the
// decompression of the source; "best" gives another 6 % for more than three times that.
func (c Compression) compress(w io.Writer) (compressor, error) {
	switch c {
	case Gzip:
		return gzip.NewWriterLevel(w, gzipLevel)
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	}
	return nil, fmt.Errorf("compression %q is not known", string(c))
}
