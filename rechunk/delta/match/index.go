package match

import (
	"encoding/binary"
	"math/bits"
)

const (
	short = 8  // bytes of the shortest match that is looked for
	long  = 32 // bytes of a match that is taken without looking further
	ways  = 4  // places that a hash is remembered for
)

// index finds where in old some bytes are.
type index struct {
	old        []byte
	stride     int // every so many bytes of old are remembered
	short      []uint32
	long       []uint32
	shiftShort uint
	shiftLong  uint
}

// longStride is how many bytes of old lie between those at which long matches are remembered.
const longStride = 8

// newIndex makes an index of at most some so many bytes.
func newIndex(old []byte, memory int64) *index {
	x := &index{old: old, stride: 1}
	for x.stride < 64 && int64(len(old))/int64(x.stride)*6 > memory*3/4 {
		x.stride *= 2
	}
	x.short, x.shiftShort = table(len(old)/x.stride, ways)
	x.long, x.shiftLong = table(len(old)/max(longStride, x.stride), 2)
	x.fillShort()
	x.fillLong()
	return x
}

// table gives room for n places with so many ways, and by how much a 64 bit hash is shifted to be a bucket's number.
func table(n, ways int) ([]uint32, uint) {
	width := max(bits.Len(uint(max(n/ways, 1)-1)), 4)
	return make([]uint32, ways<<width), uint(64 - width)
}

func (x *index) fillShort() {
	var last uint64
	for i := 0; i+short <= len(x.old); i += x.stride {
		v := binary.LittleEndian.Uint64(x.old[i:])
		if v == last && i > 0 {
			continue // a run of equal bytes is found by its start
		}
		last = v
		b := x.short[hash8(v)>>x.shiftShort*ways:][:ways]
		b[3], b[2], b[1], b[0] = b[2], b[1], b[0], uint32(i+1)
	}
}

func (x *index) fillLong() {
	stride := max(longStride, x.stride)
	for i := 0; i+long <= len(x.old); i += stride {
		b := x.long[hash32(x.old[i:])>>x.shiftLong*2:][:2]
		b[1], b[0] = b[0], uint32(i+1)
	}
}

func hash8(v uint64) uint64 { return v * 0x9e3779b97f4a7c15 }

func hash32(b []byte) uint64 {
	b = b[:long]
	h := binary.LittleEndian.Uint64(b) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29 ^ binary.LittleEndian.Uint64(b[8:])) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>32 ^ binary.LittleEndian.Uint64(b[16:])) * 0x94d049bb133111eb
	return (h ^ h>>29 ^ binary.LittleEndian.Uint64(b[24:])) * 0x9e3779b97f4a7c15
}

// find returns where in old the longest match of data is that it knows, and its length; of equally long ones, the nearest to
// near.
func (x *index) find(data []byte, near int) (at, length int) {
	if len(data) >= long {
		b := x.long[hash32(data)>>x.shiftLong*2:][:2]
		at, length = x.longest(b, data, near, at, length)
		if length >= long {
			return at, length
		}
	}
	if len(data) >= short {
		b := x.short[hash8(binary.LittleEndian.Uint64(data))>>x.shiftShort*ways:][:ways]
		at, length = x.longest(b, data, near, at, length)
	}
	return at, length
}

func (x *index) longest(places []uint32, data []byte, near, at, length int) (int, int) {
	for _, p := range places {
		if p == 0 {
			break
		}
		q := int(p - 1)
		if length > 0 && (q+length >= len(x.old) || length >= len(data) || x.old[q+length] != data[length]) &&
			(length < len(data) || distance(q, near) >= distance(at, near)) {
			continue
		}
		n := common(x.old[q:], data)
		if n > length || n == length && n > 0 && distance(q, near) < distance(at, near) {
			at, length = q, n
		}
	}
	return at, length
}

func distance(a, b int) int { return max(a-b, b-a) }

// common is how many bytes a and b begin with that are equal.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if d := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); d != 0 {
			return i + bits.TrailingZeros64(d)/8
		}
	}
	for ; i < n && a[i] == b[i]; i++ {
	}
	return i
}
