package wrap

import (
	"bytes"
	"encoding/binary"
)

// streamOf names the decoder of bytes that start like this, "" if there is none.
func streamOf(start []byte) string {
	switch {
	case len(start) >= 18 && bytes.HasPrefix(start, []byte{0x1f, 0x8b, 8}) && start[3]&0xe0 == 0:
		return Gzip
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case bytes.HasPrefix(start, []byte{0xfd, '7', 'z', 'X', 'Z', 0, 0}):
		return Xz
	}
	return ""
}

// measure returns the length of the stream at off, 0 if it is none, and the size of its plain bytes, -1 where only decoding
// tells. A gzip member has no length in it: what is left of the source is returned.
func measure(s source, off int64, decoder string) (length, size int64) {
	switch decoder {
	case Gzip:
		return s.size - off, -1
	case Zstd:
		return measureZstd(s, off)
	case Xz:
		if x, ok := readXz(s, off); ok {
			return x.length, x.size
		}
	}
	return 0, 0
}

// isSkippable says whether a skippable zstd frame starts like this.
func isSkippable(start []byte) bool {
	return len(start) >= 8 && start[0]&0xf0 == 0x50 && start[1] == 0x2a && start[2] == 0x4d && start[3] == 0x18
}

// skippable returns where the skippable frame at off ends; off, if the source ends earlier.
func skippable(s source, off int64) int64 {
	head := s.bytes(off, 8)
	if head == nil {
		return off
	}
	next := off + 8 + int64(binary.LittleEndian.Uint32(head[4:]))
	if next > s.size {
		return off
	}
	return next
}

// zstdFrame is what the header of a zstd frame says.
type zstdFrame struct {
	single, checksum bool
	window           int64 // 0 with single
	size             int64 // of the plain bytes, -1 if it isn't told
	header           int64 // bytes of the header
}

// readZstdFrame reads the frame header at off (RFC 8878, 3.1.1.1). Frames that need a dictionary are not known.
func readZstdFrame(s source, off int64) (zstdFrame, bool) {
	b := s.most(off, 18)
	if len(b) < 6 || streamOf(b) != Zstd || b[4]&0x0b != 0 {
		return zstdFrame{}, false
	}
	f := zstdFrame{single: b[4]&0x20 != 0, checksum: b[4]&4 != 0, size: -1, header: 5}
	if !f.single {
		exponent, mantissa := int64(b[5]>>3), int64(b[5]&7)
		f.window = (1 << (10 + exponent)) / 8 * (8 + mantissa)
		f.header++
	}
	var field [8]byte
	width := int64(1) << (b[4] >> 6)
	if width == 1 && !f.single {
		return f, true
	}
	if int64(len(b)) < f.header+width {
		return zstdFrame{}, false
	}
	copy(field[:], b[f.header:f.header+width])
	f.size = int64(binary.LittleEndian.Uint64(field[:]) & (1<<63 - 1))
	if width == 2 {
		f.size += 256
	}
	f.header += width
	return f, true
}

// measureZstd walks over a frame's blocks.
func measureZstd(s source, off int64) (length, size int64) {
	f, ok := readZstdFrame(s, off)
	if !ok {
		return 0, 0
	}
	for at := off + f.header; ; {
		b := s.bytes(at, 3)
		if b == nil {
			return 0, 0
		}
		head := int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16
		switch kind := head >> 1 & 3; kind {
		case 1:
			at += 4
		case 3:
			return 0, 0
		default:
			at += 3 + head>>3
		}
		if head&1 == 0 {
			continue
		}
		if f.checksum {
			at += 4
		}
		if at > s.size {
			return 0, 0
		}
		return at - off, f.size
	}
}
