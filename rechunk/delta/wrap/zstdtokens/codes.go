package zstdtokens

import "math/bits"

// Codes of literal lengths, match lengths and offsets (RFC 8878, 3.1.1.3.2.1.1).
const (
	lengths = iota // of literals
	offsets
	matches
	kinds
)

// bases are the least values of the codes from first on, and bits what is added to them; codes below first are values
// themselves.
type bases struct {
	first int
	base  []uint32
	bits  []uint8
}

var (
	lengthCodes = bases{16, []uint32{16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11,
		1 << 12, 1 << 13,
		1 << 14, 1 << 15, 1 << 16}, []uint8{1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}
	matchCodes = bases{32, []uint32{32, 34, 36, 38, 40, 44, 48, 56, 64, 80, 96, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11,
		1 << 12,
		1 << 13, 1 << 14, 1 << 15, 1 << 16}, []uint8{1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}
)

// value returns the least value of a code, and how many bits are added.
func (b *bases) value(code uint8) (uint32, int) {
	if int(code) < b.first {
		return uint32(code), 0
	}
	i := int(code) - b.first
	return b.base[i], int(b.bits[i])
}

// code returns the code of a value, and what its bits hold.
func (b *bases) code(v uint32) (uint8, uint32, int) {
	if int(v) < b.first {
		return uint8(v), 0, 0 //nolint:gosec // below 32
	}
	i := len(b.base) - 1
	for b.base[i] > v {
		i--
	}
	return uint8(b.first + i), v - b.base[i], int(b.bits[i]) //nolint:gosec // below 53
}

// offsetCode returns the code of an offset ≥ 1, and what its bits hold.
func offsetCode(v uint32) (uint8, uint32, int) {
	n := bits.Len32(v) - 1
	return uint8(n), v - 1<<n, n //nolint:gosec // at most 31
}

// form is what holds for one kind of codes: the largest code, the largest accuracy, and the table of blocks that bring none.
type form struct {
	most, log, defaultLog int
	norm                  []int16
}

func forms() [kinds]form {
	return [kinds]form{
		lengths: {35, 9, 6, []int16{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1,
			1, 1,
			-1, -1, -1, -1}},
		offsets: {31, 8, 5, []int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1,
			-1}},
		matches: {52, 9, 6, []int16{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
			1, 1,
			1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1}},
	}
}
