// Package residual compresses differences between old and new bytes: what is left when most of them are equal, or differ as
// addresses in a program do that was built again.
//
// Addresses in a program's code that count from where they are change when what lies between moves, and most do when a
// program is built again. By how much is known from others that lead to the same place, or next to it: so they are foretold
// (addresses), and only what was foretold wrongly is a difference (Percival, "Naive differences of executable code", 2003,
// codes them all; Google's Courgette takes programs apart to know more).
//
// What is left is coded bit by bit, by how likely each bit is after what came before and beside the old bytes, which both
// sides have. The likelihoods come from several contexts and are mixed as in the PAQ family of compressors (Mahoney,
// "Adaptive weighing of context models for lossless data compression", 2005): in the logistic domain, by weights that follow
// the errors. A difference that was seen in the same context before takes one bit. All of it is integer arithmetic, equal on
// every machine. docs/delta-format.md has the numbers.
package residual

const (
	flagInputs  = 3
	valueInputs = 4
	flagBits    = 16 // of each context's table, by its logarithm
	valueBits   = 15
	repeatBits  = 14
	blockSize   = 16 // differences that are looked at as one first
)

// model says how likely the next bit is 1, and learns what it was. Encoder and decoder have equal ones.
type model struct {
	addresses
	blocks       [8]uint32
	flags        [flagInputs][1 << flagBits]uint32 // for whether a difference is 0
	values       [valueInputs][1 << valueBits]uint32
	repeated     [2][1 << repeatBits]repeat
	repeats      [64 * 3]uint32 // for whether one is what it was before
	flagWeights  [80][flagInputs]int32
	valueWeights [256][valueInputs]int32
	stretch      [4096]int16
	squash       [4096]int16 // of -2048 to 2047
	rates        [limit + 1]uint32
}

const (
	limit = 127 // of what a slot counts
	even  = 1 << 31
)

func newModel() *model {
	m := &model{}
	m.leading()
	fill(m.blocks[:], even)
	fill(m.repeats[:], even)
	for i := range m.flags {
		fill(m.flags[i][:], even)
	}
	for i := range m.values {
		fill(m.values[i][:], even)
	}
	for i := range m.flagWeights {
		fill(m.flagWeights[i][:], 39321)
	}
	for i := range m.valueWeights {
		fill(m.valueWeights[i][:], 29491)
	}
	next := int32(0)
	for x := int32(-2047); x <= 2047; x++ { // the inverse of squash
		v := squash(x)
		m.squash[x+2048] = int16(min(max(v, 1), 4095))
		for ; next <= v; next++ {
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

func fill[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}

// squash gives 4096 / (1 + e^(-x/256)), by a table with straight lines between.
func squash(x int32) int32 {
	table := [33]int32{
		1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975,
		4022,
		4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
	}
	w := x & 127
	i := x>>7 + 16
	return (table[i]*(128-w) + table[i+1]*w + 64) >> 7
}

// mixed is the probability, of 4096, at a dot product of weights and stretched probabilities.
func (m *model) mixed(dot int32) int32 { return int32(m.squash[min(max(dot, -2047), 2047)+2048]) }

// update moves a slot, which is a probability in 22 bits and a count in 10, towards a bit.
func (m *model) update(s *uint32, bit uint32) {
	n := *s & 1023
	p := int32(*s >> 10)
	p += int32((int64(int32(bit*(1<<22-1))-p) * int64(m.rates[n&limit])) >> 16)
	if n < limit {
		n++
	}
	*s = uint32(p)<<10 | n
}

// sum is a hash of two numbers.
func sum(a, b uint32) uint32 {
	h := a*0x9e3779b1 ^ b*0x85ebca6b
	h ^= h >> 15
	return h * 0x2c1b3c6d
}

// window is what came before a difference.
type window struct {
	hist  uint32 // which of the last differences are not 0: the last is bit 0
	diffs uint32 // the last four differences: the last is the lowest byte
}

// next moves the window behind a difference.
func (w *window) next(d byte) {
	w.hist <<= 1
	if d != 0 {
		w.hist |= 1
	}
	w.diffs = w.diffs<<8 | uint32(d)
}

// spot is what lies beside a difference.
type spot struct {
	front uint32 // the four old bytes from the current one on, that is the lowest; only this one at the end
	back  uint32 // the two new bytes before, the last is the lowest; 0 at the start
	field uint32 // which byte of an address it is, from 1 on; 0 for none
	d     byte   // the difference, when it is known
}

// flag codes whether a difference is not 0.
func (m *model) flag(c *coder, w *window, s *spot, some uint32) {
	s0 := &m.flags[0][w.hist&255|s.field<<8]
	s1 := &m.flags[1][sum(s.field<<16|w.hist&15<<8|s.back&255, s.front&255)>>(32-flagBits)]
	s2 := &m.flags[2][sum(s.front, 77)>>(32-flagBits)]
	x0, x1, x2 := int32(m.stretch[*s0>>20]), int32(m.stretch[*s1>>20]), int32(m.stretch[*s2>>20])
	weight := &m.flagWeights[w.hist&15|s.field<<4]
	p := m.mixed((x0*(weight[0]>>2) + x1*(weight[1]>>2) + x2*(weight[2]>>2)) >> 14)
	c.bit(some, uint32(p)<<4)
	err := (int32(some<<12) - p) * 6
	weight[0] += (x0*err + 0x8000) >> 16
	weight[1] += (x1*err + 0x8000) >> 16
	weight[2] += (x2*err + 0x8000) >> 16
	m.update(s0, some)
	m.update(s1, some)
	m.update(s2, some)
}

// value codes the bits of a difference that is not 0.
func (m *model) value(c *coder, w *window, s *spot) {
	d := s.d
	c0 := sum(w.diffs&255|s.field<<8, 1)
	c1 := sum(s.back&255<<8|s.front&255, 2)
	c2 := sum(w.diffs&255|w.diffs>>24<<8, 3)
	c3 := sum(s.front, 4)
	const shift = 32 - valueBits
	node, half := uint32(1), uint32(1)
	for node < 256 {
		if node >= 16 && node < 32 { // one cache line for each half of the bits
			up := node * 0x9e3779b1
			c0, c1, c2, c3, half = c0+up, c1+up, c2+up, c3+up, 1
		}
		s0, s1 := &m.values[0][c0>>shift&^15|half], &m.values[1][c1>>shift&^15|half]
		s2, s3 := &m.values[2][c2>>shift&^15|half], &m.values[3][c3>>shift&^15|half]
		x0, x1 := int32(m.stretch[*s0>>20]), int32(m.stretch[*s1>>20])
		x2, x3 := int32(m.stretch[*s2>>20]), int32(m.stretch[*s3>>20])
		weight := &m.valueWeights[node]
		p := m.mixed((x0*(weight[0]>>2) + x1*(weight[1]>>2) + x2*(weight[2]>>2) + x3*(weight[3]>>2)) >> 14)
		bit := uint32(d >> 7)
		c.bit(bit, uint32(p)<<4)
		d <<= 1
		err := (int32(bit<<12) - p) * 6
		weight[0] += (x0*err + 0x8000) >> 16
		weight[1] += (x1*err + 0x8000) >> 16
		weight[2] += (x2*err + 0x8000) >> 16
		weight[3] += (x3*err + 0x8000) >> 16
		m.update(s0, bit)
		m.update(s1, bit)
		m.update(s2, bit)
		m.update(s3, bit)
		node, half = node<<1|bit, half<<1|bit
	}
}
