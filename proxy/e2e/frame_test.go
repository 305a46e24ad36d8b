package e2e

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// decompress reads a layer.
func decompress(tb testing.TB, mediaType string, r io.Reader) io.Reader {
	tb.Helper()
	switch mediaType {
	case ocispec.MediaTypeImageLayerGzip:
		g, err := gzip.NewReader(r)
		if err != nil {
			tb.Fatal(err)
		}
		return g
	case ocispec.MediaTypeImageLayerZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			tb.Fatal(err)
		}
		return z.IOReadCloser()
	}
	tb.Fatalf("layer of type %s", mediaType)
	return nil
}

// checkOnePart checks that a layer is one gzip member or one zstd frame: some clients read no more than the first.
func checkOnePart(tb testing.TB, mediaType string, b []byte) {
	tb.Helper()
	n := 0
	if mediaType == ocispec.MediaTypeImageLayerZstd {
		n = zstdFrame(tb, b)
	} else {
		n = gzipMember(tb, b)
	}
	if n != len(b) {
		tb.Errorf("the first frame has %d of the layer's %d bytes", n, len(b))
	}
}

// gzipMember returns how many bytes the first member takes (RFC 1952).
func gzipMember(tb testing.TB, b []byte) int {
	tb.Helper()
	r := bytes.NewReader(b)
	g, err := gzip.NewReader(r)
	if err != nil {
		tb.Fatalf("gzip: %v", err)
	}
	g.Multistream(false)
	// A reader that gives single bytes is read no further than the member.
	if _, err := io.Copy(io.Discard, g); err != nil {
		tb.Fatalf("gzip: %v", err)
	}
	return len(b) - r.Len()
}

// zstdFrame walks the blocks of the first frame (RFC 8878, section 3.1.1) and returns how many bytes it takes.
func zstdFrame(tb testing.TB, b []byte) int {
	tb.Helper()
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		tb.Fatalf("zstd: %v", err)
	}
	if h.Skippable {
		tb.Fatal("the layer starts with a skippable frame")
	}
	at := h.HeaderSize
	for last := false; !last; {
		if at+3 > len(b) {
			tb.Fatal("the zstd frame is cut short")
		}
		head := uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16
		last = head&1 == 1
		size := int(head >> 3)
		if head>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		at += 3 + size
	}
	if h.HasCheckSum {
		at += 4
	}
	return at
}
