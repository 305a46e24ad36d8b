package residual

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// mixedEncoder writes what MixedDecoder reads, as Encoder did once.
type mixedEncoder struct {
	m        *mixed
	c        mixedWriter
	old, new []byte
}

func newMixedEncoder() *mixedEncoder {
	return &mixedEncoder{m: newMixed(), c: mixedWriter{high: 1<<32 - 1}}
}

// Add codes differences to old bytes, as many as there are of these, MaxRun at most.
func (e *mixedEncoder) Add(p Place, old, diff []byte) {
	e.old, e.new = append(e.old[:0], old...), append(e.new[:0], old...)
	for i, d := range diff {
		e.new[i] += d
	}
	r := e.m.run(p, e.old)
	w, blocks := window{}, uint32(0)
	var spots [blockSize]spot
	for at := 0; at < len(e.new); at += blockSize {
		n := min(blockSize, len(e.new)-at)
		some := uint32(0)
		for i := range n { // what is foretold depends on what is before, not on how it is coded
			if r.may(at + i) {
				r.next(at + i)
			}
			s := r.spot(at + i)
			s.d = e.new[at+i] - e.old[at+i]
			e.old[at+i] = e.new[at+i]
			if s.d != 0 {
				some = 1
			}
			spots[i] = s
		}
		if e.m.block(&e.c, &blocks, some); some == 0 {
			w = window{}
			continue
		}
		for i := range n {
			e.m.one(&e.c, &w, &spots[i])
			w.next(spots[i].d)
		}
	}
	r.end()
}

// block codes whether any of the differences of a block is not 0. blocks has the outcomes of those before.
func (m *mixed) block(c *mixedWriter, blocks *uint32, some uint32) {
	slot := &m.blocks[*blocks&7]
	c.bit(some, clamp(*slot>>16))
	m.update(slot, some)
	*blocks = *blocks<<1 | some
}

// Flush ends a piece and returns it. It is valid until the next call.
func (e *mixedEncoder) Flush() []byte {
	c := &e.c
	out := append(c.b, byte(c.low>>24), byte(c.low>>16), byte(c.low>>8), byte(c.low))
	*c = mixedWriter{high: 1<<32 - 1, b: out[:0]}
	return out
}

// mixedWriter is an arithmetic coder that writes.
type mixedWriter struct {
	low, high uint32
	b         []byte // what was written
}

// bit codes a bit that is 1 with a probability, of 65536.
func (c *mixedWriter) bit(bit, p uint32) {
	mid := c.low + uint32(uint64(c.high-c.low)*uint64(p)>>16)
	if bit == 1 {
		c.high = mid
	} else {
		c.low = mid + 1
	}
	for (c.low^c.high)>>24 == 0 {
		c.b = append(c.b, byte(c.high>>24))
		c.low <<= 8
		c.high = c.high<<8 | 255
	}
}

// one codes one difference.
func (m *mixed) one(c *mixedWriter, w *window, s *spot) {
	if s.d == 0 {
		m.flag(c, w, s, 0)
		return
	}
	m.flag(c, w, s, 1)
	a, b := m.contexts(w, s)
	if !m.hit(c, a, b, s.d) {
		m.value(c, w, s)
	}
	a.next(s.d)
	b.next(s.d)
}

// hit codes whether a difference is the likely one.
func (m *mixed) hit(c *mixedWriter, a, b *repeat, d byte) bool {
	likely, slot := m.likely(a, b)
	if slot == nil {
		return false
	}
	hit := uint32(0)
	if d == likely {
		hit = 1
	}
	c.bit(hit, clamp(*slot>>16))
	m.update(slot, hit)
	return hit == 1
}

// flag codes whether a difference is not 0.
func (m *mixed) flag(c *mixedWriter, w *window, s *spot, some uint32) {
	s0 := &m.flags[0][w.hist&255|s.field<<8]
	s1 := &m.flags[1][sum(s.field<<16|w.hist&15<<8|s.back&255, s.front&255)>>(32-flagBits)]
	s2 := &m.flags[2][sum(s.front, 77)>>(32-flagBits)]
	x0, x1, x2 := int32(m.stretch[*s0>>20]), int32(m.stretch[*s1>>20]), int32(m.stretch[*s2>>20])
	weight := &m.flagWeights[w.hist&15|s.field<<4]
	p := m.mix((x0*(weight[0]>>2) + x1*(weight[1]>>2) + x2*(weight[2]>>2)) >> 14)
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
func (m *mixed) value(c *mixedWriter, w *window, s *spot) {
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
		p := m.mix((x0*(weight[0]>>2) + x1*(weight[1]>>2) + x2*(weight[2]>>2) + x3*(weight[3]>>2)) >> 14)
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

// The bytes of version 2 are those that were written when it was the newest, and are decoded.
func TestMixed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		old, diff := runs(rand.New(rand.NewPCG(seed, 2)))
		e, d, sum := newMixedEncoder(), NewMixedDecoder(), sha256.New()
		for from := 0; from < len(old); from += 3 {
			to := min(from+3, len(old))
			for i := from; i < to; i++ {
				e.Add(place(i), old[i], diff[i])
			}
			piece := bytes.Clone(e.Flush())
			sum.Write(piece)
			d.Begin(piece)
			for i := from; i < to; i++ {
				got := bytes.Clone(old[i])
				if err := d.Add(place(i), got); err != nil {
					t.Fatal(err)
				}
				for k := range got {
					if got[k] != old[i][k]+diff[i][k] {
						t.Fatalf("seed %d, run %d: byte %d is wrong", seed, i, k)
					}
				}
			}
			if err := d.End(); err != nil {
				t.Fatal(err)
			}
		}
		const want = "7e840f7ebfb1a3e040749ebff5d78dc72f5bf7c998dbc329343ca12c98170287"
		if got := fmt.Sprintf("%x", sum.Sum(nil)); seed == 1 && got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

func FuzzMixedDecoder(f *testing.F) {
	f.Add([]byte{}, uint16(100), int64(0), int64(0), byte(0))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint16(400), int64(-1), int64(1)<<62, byte(2))
	f.Fuzz(func(_ *testing.T, piece []byte, n uint16, at, made int64, machine byte) {
		p := Place{At: at, Made: made, Machine: Machine(machine)}
		d := NewMixedDecoder()
		d.Begin(piece)
		_ = errors.Join(d.Add(p, make([]byte, n)), d.End())
	})
}
