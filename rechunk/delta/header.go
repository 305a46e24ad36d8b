package delta

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Version is that of the format that Make writes. Another layout gets another number.
const Version = "3"

// mixedVersion is the version whose differences have another code (residual.MixedDecoder). It is still read.
const mixedVersion = "2"

// Reads reports whether Open reads deltas of a version.
func Reads(version string) bool { return version == Version || version == mixedVersion }

// A delta begins with prefix, its version and a line feed.
const (
	prefix = "strata delta "
	magic  = prefix + Version + "\n"
)

const (
	maxName     = 4096 // bytes of an encoder's description
	maxDigest   = 200  // bytes of a digest, as a string
	maxPrograms = 1000
	maxLayers   = 10_000
)

// envelope gives the magic and the header.
func (h *Header) envelope() ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return nil, fmt.Errorf("compress the header: %w", err)
	}
	defer enc.Close() //nolint:errcheck // writes nowhere
	plain := h.append(nil)
	packed := enc.EncodeAll(plain, nil)
	out := append([]byte(magic), binary.AppendUvarint(nil, uint64(len(plain)))...)
	out = binary.AppendUvarint(out, uint64(len(packed)))
	return append(out, packed...), nil
}

func (h *Header) append(b []byte) []byte {
	b = binary.AppendUvarint(appendString(b, h.Blob.String()), uint64(h.BlobSize))
	b = binary.AppendUvarint(appendString(b, h.DiffID.String()), uint64(h.TarSize))
	b = appendString(appendString(b, h.Encoder), h.Seed.String())
	b = binary.AppendUvarint(b, uint64(len(h.Programs)))
	for _, p := range h.Programs {
		b = appendString(appendString(b, p.Name), p.Version)
	}
	b = binary.AppendUvarint(b, uint64(len(h.Sources)))
	last := ""
	for _, s := range h.Sources {
		n := shared(last, s.Path)
		b = appendString(binary.AppendUvarint(b, uint64(n)), s.Path[n:])
		b = append(binary.AppendUvarint(b, uint64(s.Size)), s.Digest[:]...)
		b = binary.AppendUvarint(b, uint64(s.Layer))
		last = s.Path
	}
	return b
}

// shared is how many bytes two strings begin with that are equal.
func shared(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// readVersion reads how a delta begins.
func readVersion(r *bytesReader) (string, error) {
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(r, start); err != nil {
		return "", brokenOff(err)
	}
	version, ok := strings.CutPrefix(string(start), prefix)
	version, line := strings.CutSuffix(version, "\n")
	if !ok || !line || !Reads(version) {
		return "", fmt.Errorf("%w: it does not begin with %q", ErrInvalid, magic)
	}
	return version, nil
}

// readHeader reads what follows the version.
func readHeader(r *bytesReader, lim Limits) (Header, error) {
	size, err := r.uint()
	if err != nil {
		return Header{}, err
	}
	packed, err := r.uint()
	if err != nil {
		return Header{}, err
	}
	if size > uint64(lim.Header) || packed > size+size/64+1024 {
		return Header{}, fmt.Errorf("%w: a header of %d bytes, %d compressed", ErrLimit, size, packed)
	}
	var buf bytes.Buffer
	if _, err := io.CopyN(&buf, r, int64(packed)); err != nil {
		return Header{}, brokenOff(err)
	}
	dec, err := zstd.NewReader(&buf, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(lim.Header)))
	if err != nil {
		return Header{}, fmt.Errorf("%w: header: %w", ErrInvalid, err)
	}
	defer dec.Close()
	var plain bytes.Buffer
	n, err := io.Copy(&plain, io.LimitReader(dec, int64(size)+1))
	if err != nil || n != int64(size) {
		return Header{}, fmt.Errorf("%w: header: %d bytes instead of %d: %w", ErrInvalid, n, size, cmp.Or(err, io.EOF))
	}
	f := &fields{b: plain.Bytes()}
	h := f.header(lim)
	if len(f.b) > 0 {
		f.fail("%d bytes behind the header", len(f.b))
	}
	return h, f.err
}

func (f *fields) digest(what string) digest.Digest {
	d := digest.Digest(f.string(what, maxDigest))
	if d != "" && f.err == nil && d.Validate() != nil {
		f.fail("%s is no digest", what)
	}
	return d
}

func (f *fields) header(lim Limits) Header {
	var h Header
	h.Blob, h.BlobSize = f.digest("the blob"), f.uint("the blob's size", 1<<62)
	h.DiffID, h.TarSize = f.digest("the diff_id"), f.uint("the tar size", 1<<62)
	h.Encoder, h.Seed = f.string("the encoder", maxName), f.digest("the seed")
	if f.err == nil && (h.DiffID == "" || h.DiffID.Algorithm() != digest.SHA256) {
		f.fail("the diff_id is no SHA-256")
	}
	if h.TarSize > lim.Tar {
		f.limit("a tar stream of %d bytes, at most %d", h.TarSize, lim.Tar)
	}
	for range f.uint("the number of programs", maxPrograms) {
		h.Programs = append(h.Programs, Program{Name: f.string("a program", maxName),
			Version: f.string("a version", maxName)})
	}
	n := f.uint("the number of sources", 1<<62)
	if n > int64(lim.Sources) {
		f.limit("%d sources, at most %d", n, lim.Sources)
		return h
	}
	h.Sources = make([]File, 0, min(n, int64(len(f.b)/36)))
	left := lim.Header // paths share their beginnings in the header, and not in memory
	for range n {
		if f.err != nil {
			break
		}
		s := f.source(h.Sources, lim)
		if left -= int64(len(s.Path)); left < 0 {
			f.limit("sources with paths of more than %d bytes", lim.Header)
		}
		h.Sources = append(h.Sources, s)
	}
	return h
}

func (f *fields) limit(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s", ErrLimit, fmt.Sprintf(format, args...))
	}
	f.b = nil
}

// source reads the source that follows others.
func (f *fields) source(before []File, lim Limits) File {
	last := ""
	if len(before) > 0 {
		last = before[len(before)-1].Path
	}
	n := f.uint("what a path shares", int64(len(last)))
	path := last[:n] + f.string("a path", lim.Path)
	s := File{Path: path, Size: f.uint("a source's size", 1<<62)}
	copy(s.Digest[:], f.bytes("a source's digest", int64(len(s.Digest))))
	s.Layer = int(f.uint("a source's layer", maxLayers))
	switch clean, err := tree.CleanPath(path, tree.Limits{Path: lim.Path, Depth: lim.Path}); {
	case f.err != nil:
	case err != nil || clean != path:
		f.fail("a source's path is not clean: %.100q", path)
	case len(before) > 0 && path <= last:
		f.fail("sources are not ascending at %.100q", path)
	}
	return s
}

// sortSources brings sources into the order of the header.
func sortSources(s []File) {
	slices.SortFunc(s, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
}

// bytesReader reads a delta.
type bytesReader struct {
	io.Reader
	io.ByteReader
}

// uint reads a number.
func (r *bytesReader) uint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, brokenOff(err)
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 && (shift < 63 || b < 2) {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: a number of more than 64 bits", ErrInvalid)
}

// brokenOff makes of an end where there should be none an ErrInvalid.
func brokenOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it breaks off: %w", ErrInvalid, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read the delta: %w", err)
}
