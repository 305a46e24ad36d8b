// Package residual compresses differences between old and new bytes: what is left when most of them are equal, or differ as
// addresses in a program do that was built again. A difference is coded bit by bit, by how likely each bit is after what
// came before and beside the old bytes, which both sides have: four bytes behind a call's opcode change more often than
// others, and as the last time. On programs that is half of what general compressors make of the same differences.
//
// The likelihoods come from several contexts and are mixed as in the PAQ family of compressors (Mahoney, "Adaptive weighing
// of context models for lossless data compression", 2005): in the logistic domain, by weights that follow the errors. All of
// it is integer arithmetic, equal on every machine. docs/delta-format.md has the numbers.
package residual

import "math/bits"

const (
	contexts  = 6
	zeroBits  = 16 // of each context's table, by its logarithm
	tableBits = 20
	blockSize = 16 // differences that are looked at as one first
)

// model says how likely the next bit is 1, and learns what it was. Encoder and decoder have equal ones.
type model struct {
	blocks  [8]uint32
	zeros   [contexts][]uint32 // for whether a difference is 0
	tables  [contexts][]uint32 // for the bits of others
	weights [selectors][contexts]int32
	slots   [contexts]*uint32 // of the bit that is coded
	inputs  [contexts]int32
	mixed   int32
	weight  *[contexts]int32
	stretch [4096]int16
	rates   [limit + 1]uint32
}

const (
	selectors = 16 + 256
	limit     = 127 // of what a slot counts
	even      = 1 << 31
)

func newModel() *model {
	m := &model{}
	for i := range m.blocks {
		m.blocks[i] = even
	}
	for i := range m.tables {
		m.zeros[i], m.tables[i] = newTable(zeroBits), newTable(tableBits)
	}
	for i := range m.weights {
		for k := range m.weights[i] {
			m.weights[i][k] = 20000
		}
	}
	next := int32(0)
	for x := int32(-2047); x <= 2047; x++ { // the inverse of squash
		for v := squash(x); next <= v; next++ {
			m.stretch[next] = int16(x)
		}
	}
	for ; next < 4096; next++ {
		m.stretch[next] = 2047
	}
	for n := range m.rates {
		m.rates[n] = uint32(65536 / (float64(n) + 1.6))
	}
	return m
}

func newTable(width int) []uint32 {
	t := make([]uint32, 1<<width)
	for i := range t {
		t[i] = even
	}
	return t
}

// squash gives 4096 / (1 + e^(-x/256)), by a table with straight lines between.
func squash(x int32) int32 {
	table := [33]int32{
		1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975,
		4022,
		4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
	}
	switch {
	case x > 2047:
		return 4095
	case x < -2047:
		return 0
	}
	w := x & 127
	i := x>>7 + 16
	return (table[i]*(128-w) + table[i+1]*w + 64) >> 7
}

// mix gives the probability, of 65536, that the next bit is 1; slots are set.
func (m *model) mix(selector uint32) uint32 {
	m.weight = &m.weights[selector]
	in, w := &m.inputs, m.weight
	in[0], in[1] = int32(m.stretch[*m.slots[0]>>20]), int32(m.stretch[*m.slots[1]>>20])
	in[2], in[3] = int32(m.stretch[*m.slots[2]>>20]), int32(m.stretch[*m.slots[3]>>20])
	in[4], in[5] = int32(m.stretch[*m.slots[4]>>20]), int32(m.stretch[*m.slots[5]>>20])
	dot := int64(in[0])*int64(w[0]) + int64(in[1])*int64(w[1]) + int64(in[2])*int64(w[2]) +
		int64(in[3])*int64(w[3]) + int64(in[4])*int64(w[4]) + int64(in[5])*int64(w[5])
	m.mixed = squash(int32(min(max(dot>>16, -2047), 2047)))
	return uint32(min(max(m.mixed, 1), 4095)) << 4
}

// learn takes the bit for which mix was asked.
func (m *model) learn(bit uint32) {
	err := (int32(bit<<12) - m.mixed) * 6
	for i, s := range m.slots {
		m.weight[i] += (m.inputs[i]*err + 0x8000) >> 16
		m.update(s, bit)
	}
}

// update moves a slot, which is a probability in 22 bits and a count in 10, towards a bit.
func (m *model) update(s *uint32, bit uint32) {
	n := *s & 1023
	p := *s >> 10
	target := bit * (1<<22 - 1)
	p = uint32(int32(p) + int32((int64(int32(target)-int32(p))*int64(m.rates[n]))>>16))
	if n < limit {
		n++
	}
	*s = p<<10 | n
}

// sum is a hash of a few numbers.
func sum(a, b, c uint32) uint32 {
	h := a*0x9e3779b1 ^ b*0x85ebca6b ^ c*0xc2b2ae35
	h ^= h >> 15
	return h * 0x2c1b3c6d
}

// window is what the contexts are made of, for one difference.
type window struct {
	hist  uint32 // which of the last differences are not 0: the last is bit 0
	diffs uint32 // the last four differences: the last is the lowest byte
	back  uint32 // the last four old bytes
	front uint32 // the four old bytes from the current one on: that is the lowest
	bases [contexts]uint32
}

// zero chooses the slots for whether the difference is 0.
func (m *model) zero(w *window) {
	hashes := [contexts]uint32{
		w.hist & 0xff,
		sum(1, w.hist&15, w.back&0xff|w.front&0xff<<8),
		sum(2, w.back&0xffffff, 0),
		sum(3, w.diffs&0xffff, w.front&0xff),
		sum(4, w.front, 0),
		sum(5, w.hist&15, w.back&0xffff|w.front<<16),
	}
	for i, h := range hashes {
		m.slots[i] = &m.zeros[i][h>>(32-zeroBits)]
	}
	m.slots[0] = &m.zeros[0][hashes[0]]
}

// value chooses where the slots for the difference lie.
func (w *window) value() {
	w.bases = [contexts]uint32{
		sum(11, w.diffs&0xff, 0),
		sum(12, w.back&0xff|w.front&0xff<<8, 0),
		sum(13, w.diffs&0xff|w.diffs>>24<<8, 0),
		sum(14, w.front&0xff, w.hist&15),
		sum(15, w.front, 0),
		sum(16, w.back&0xffff, w.diffs&0xff),
	}
}

// bit chooses the slots for a bit of the difference: node is 1 and the bits before it.
func (m *model) bit(w *window, node uint32) {
	half := node
	if node >= 16 { // one cache line for each half of the bits
		half = 1<<(bits.Len32(node)-5) | node&(1<<(bits.Len32(node)-5)-1)
		node >>= bits.Len32(node) - 5
	} else {
		node = 0
	}
	for i, b := range w.bases {
		m.slots[i] = &m.tables[i][(b+node*0x9e3779b1)>>(32-tableBits)&^15|half]
	}
}

// next moves the window behind a difference.
func (w *window) next(old, diff byte) {
	w.hist <<= 1
	if diff != 0 {
		w.hist |= 1
	}
	w.diffs = w.diffs<<8 | uint32(diff)
	w.back = w.back<<8 | uint32(old)
}

// ahead sets the old bytes from i on.
func (w *window) ahead(old []byte, i int) {
	if i+4 <= len(old) {
		w.front = uint32(old[i]) | uint32(old[i+1])<<8 | uint32(old[i+2])<<16 | uint32(old[i+3])<<24
		return
	}
	w.front = 0
	for k := len(old) - 1; k >= i; k-- {
		w.front = w.front<<8 | uint32(old[k])
	}
}
