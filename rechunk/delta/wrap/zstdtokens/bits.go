package zstdtokens

import "math/bits"

// backward reads a bit stream from its end, as zstd's entropy coders write it: the highest bit that is set in the last byte
// ends it. Beyond the start it gives zeros, and left is negative.
type backward struct {
	data []byte
	left int // bits that were not read yet
}

// newBackward returns false if data doesn't end with a bit that is set.
func newBackward(data []byte) (backward, bool) {
	if len(data) == 0 || data[len(data)-1] == 0 {
		return backward{}, false
	}
	return backward{data, 8*len(data) - 1 - bits.LeadingZeros8(data[len(data)-1])}, true
}

// peek returns the next n ≤ 32 bits.
func (b *backward) peek(n int) uint32 {
	from := b.left - n
	if from < 0 {
		if b.left <= 0 {
			return 0
		}
		return b.at(0, b.left) << -from
	}
	return b.at(from, n)
}

// at returns n ≤ 32 bits from bit from on.
func (b *backward) at(from, n int) uint32 {
	first := from >> 3
	var v uint64
	if first+8 <= len(b.data) {
		d := b.data[first : first+8 : first+8]
		v = uint64(d[0]) | uint64(d[1])<<8 | uint64(d[2])<<16 | uint64(d[3])<<24 | uint64(d[4])<<32 | uint64(d[5])<<40 |
			uint64(d[6])<<48 | uint64(d[7])<<56
	} else {
		for i, c := range b.data[first:] {
			v |= uint64(c) << (8 * i)
		}
	}
	return uint32(v >> (from & 7) & (1<<n - 1)) //nolint:gosec // n ≤ 32
}

// read returns the next n ≤ 32 bits, and takes them.
func (b *backward) read(n int) uint32 {
	v := b.peek(n)
	b.left -= n
	return v
}

// writer writes what backward reads: what is added last is read first.
type writer struct {
	out  []byte
	word uint64
	n    int
}

// add appends the low n ≤ 32 bits of v.
func (w *writer) add(v uint32, n int) {
	w.word |= uint64(v&(1<<n-1)) << w.n
	w.n += n
	for w.n >= 8 {
		w.out = append(w.out, byte(w.word))
		w.word >>= 8
		w.n -= 8
	}
}

// close ends the stream.
func (w *writer) close() []byte {
	w.add(1, 1)
	if w.n > 0 {
		w.out = append(w.out, byte(w.word))
	}
	w.word, w.n = 0, 0
	return w.out
}

// forward reads bits from the start of data, low ones first. Beyond its end it gives zeros.
type forward struct {
	data []byte
	at   int
}

// peek returns the next n ≤ 16 bits.
func (f *forward) peek(n int) int {
	var v uint32
	for i := range 4 {
		if k := f.at>>3 + i; k < len(f.data) {
			v |= uint32(f.data[k]) << (8 * i)
		}
	}
	return int(v >> (f.at & 7) & (1<<n - 1))
}

// bytes returns how many bytes were read, a part of one as a whole, and whether they were there.
func (f *forward) bytes() (int, bool) {
	n := (f.at + 7) / 8
	return n, n <= len(f.data)
}
