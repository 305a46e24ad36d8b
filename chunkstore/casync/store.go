package casync

import (
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Suffix is what the names of compressed chunks end with.
const Suffix = ".cacnk"

// Path returns where a chunk lies in a store, as a path with slashes: four hex digits, a slash, all of them and Suffix. One
// that is not compressed has no suffix.
func Path(id ID, compressed bool) string {
	text := id.String()
	if compressed {
		return text[:4] + "/" + text + Suffix
	}
	return text[:4] + "/" + text
}

// ParsePath undoes Path.
func ParsePath(path string) (id ID, compressed bool, err error) {
	text, compressed := strings.CutSuffix(path, Suffix)
	dir, text, _ := strings.Cut(text, "/")
	id, err = ParseID(text)
	if err == nil && dir != text[:4] {
		err = fmt.Errorf("%q: a chunk lies at its first four digits, a slash and all of them", path)
	}
	return id, compressed, err
}

// Encoder compresses chunks: the same bytes give the same chunk. It is safe for concurrent use.
type Encoder struct{ z *zstd.Encoder }

// NewEncoder returns an encoder for chunks of these sizes.
func NewEncoder(s Sizes) (*Encoder, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(windowFor(s.Max)))
	if err != nil {
		return nil, fmt.Errorf("chunk encoder: %w", err)
	}
	return &Encoder{z}, nil
}

// windowFor is the smallest window that holds n bytes.
func windowFor(n int) int {
	w := zstd.MinWindowSize
	for w < n {
		w *= 2
	}
	return w
}

// Append appends the compressed chunk to dst: one zstd frame.
func (e *Encoder) Append(dst, content []byte) []byte { return e.z.EncodeAll(content, dst) }

// Decoder takes chunks apart. It is safe for concurrent use.
type Decoder struct{ z *zstd.Decoder }

// NewDecoder returns a decoder for chunks of these sizes.
func NewDecoder(s Sizes) (*Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(uint64(max(s.Max, zstd.MinWindowSize))),
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("chunk decoder: %w", err)
	}
	return &Decoder{z}, nil
}

// Decode returns the bytes of a compressed chunk, appended to dst. Those of another chunk, or of none, give an error that is
// ErrInvalid.
func (d *Decoder) Decode(dst []byte, id ID, compressed []byte) ([]byte, error) {
	out, err := d.z.DecodeAll(compressed, dst)
	if err != nil {
		return nil, fmt.Errorf("%w: chunk %s: %w", ErrInvalid, id, err)
	}
	if Sum(out[len(dst):]) != id {
		return nil, fmt.Errorf("%w: chunk %s has other bytes", ErrInvalid, id)
	}
	return out, nil
}

// Close frees the decoder.
func (d *Decoder) Close() { d.z.Close() }
