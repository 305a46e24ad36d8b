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
	old    []byte
	stride int // every so many bytes of old are remembered
	short  table
	long   table
}

// table has buckets of places. Above a place stand as many bits of its hash as there is room for, so that old bytes are
// looked at only where they are likely to be the right ones: they are seldom in the processor's caches.
type table struct {
	ways    int
	buckets uint64
	width   uint // of a place, in bits
	places  []uint32
}

// longStride is how many bytes of old lie between those at which long matches are remembered.
const longStride = 8

// entry is how many bytes of memory a remembered place takes: a quarter more than its own, so that few buckets are too full.
const entry = 5

// newIndex makes an index of at most some so many bytes, in what was one before, if there is one.
func newIndex(old []byte, memory int64, before *index) *index {
	if before == nil {
		before = &index{}
	}
	n := int64(len(old))
	stride := int64(1)
	for stride < 64 && (n/stride+n/max(longStride, stride))*entry > memory {
		stride *= 2
	}
	x := &index{old: old, stride: int(stride)}
	x.short = newTable(n/stride, ways, len(old), before.short)
	x.long = newTable(n/max(longStride, stride), 2, len(old), before.long)
	x.fillShort()
	x.fillLong()
	return x
}

// newTable gives room for n places, below most, in that of a table that is not needed any longer.
func newTable(n int64, ways, most int, before table) table {
	t := table{ways: ways, buckets: uint64(n*entry/4/int64(ways) + 1), width: uint(bits.Len(uint(most)))}
	size := int(t.buckets) * ways
	if cap(before.places) < size {
		t.places = make([]uint32, size)
		return t
	}
	t.places = before.places[:size]
	clear(t.places)
	return t
}

// at gives the bucket of a hash.
func (t *table) at(hash uint64) []uint32 {
	b, _ := bits.Mul64(hash, t.buckets)
	return t.places[int(b)*t.ways:][:t.ways:t.ways]
}

// place is what stands for a place.
func (t *table) place(hash uint64, at int) uint32 { return uint32(hash>>24)<<t.width | uint32(at+1) }

func (x *index) fillShort() {
	var last uint64
	for i := 0; i+short <= len(x.old); i += x.stride {
		v := binary.LittleEndian.Uint64(x.old[i:])
		if v == last && i > 0 {
			continue // a run of equal bytes is found by its start
		}
		last = v
		h := hash8(v)
		b := x.short.at(h)
		b[3], b[2], b[1], b[0] = b[2], b[1], b[0], x.short.place(h, i)
	}
}

func (x *index) fillLong() {
	stride := max(longStride, x.stride)
	for i := 0; i+long <= len(x.old); i += stride {
		h := hash32(x.old[i:])
		b := x.long.at(h)
		b[1], b[0] = b[0], x.long.place(h, i)
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
		at, length = x.longest(&x.long, hash32(data), data, near, at, length)
		if length >= long {
			return at, length
		}
	}
	if len(data) >= short {
		at, length = x.longest(&x.short, hash8(binary.LittleEndian.Uint64(data)), data, near, at, length)
	}
	return at, length
}

func (x *index) longest(t *table, hash uint64, data []byte, near, at, length int) (int, int) {
	is := uint32(hash>>24) << t.width
	for _, p := range t.at(hash) {
		if p == 0 {
			break
		}
		p ^= is
		if p>>t.width != 0 {
			continue // of another hash
		}
		q := int(p) - 1
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
