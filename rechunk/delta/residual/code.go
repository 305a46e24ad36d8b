package residual

import "errors"

// ErrInvalid says that a piece holds less or more than what was asked of it.
var ErrInvalid = errors.New("invalid differences")

// MaxRun is the number of differences that are coded with one call, at most.
const MaxRun = 256 << 10

// Encoder writes pieces. What was written before makes what follows smaller. It is for one goroutine.
type Encoder struct {
	m        *model
	c        coder
	old, new []byte
}

// NewEncoder makes an encoder.
func NewEncoder() *Encoder { return &Encoder{m: newModel(), c: coder{high: 1<<32 - 1}} }

// Add codes differences to old bytes, as many as there are of these, MaxRun at most.
func (e *Encoder) Add(p Place, old, diff []byte) {
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
func (m *model) block(c *coder, blocks *uint32, some uint32) {
	slot := &m.blocks[*blocks&7]
	c.bit(some, clamp(*slot>>16))
	m.update(slot, some)
	*blocks = *blocks<<1 | some
}

// Flush ends a piece and returns it. It is valid until the next call.
func (e *Encoder) Flush() []byte {
	c := &e.c
	out := append(c.b, byte(c.low>>24), byte(c.low>>16), byte(c.low>>8), byte(c.low))
	*c = coder{high: 1<<32 - 1, b: out[:0]}
	return out
}

// coder is an arithmetic coder that writes.
type coder struct {
	low, high uint32
	b         []byte // what was written
}

// clamp keeps a probability, of 65536, from being certain.
func clamp(p uint32) uint32 { return min(max(p, 16), 65536-16) }

// bit codes a bit that is 1 with a probability, of 65536.
func (c *coder) bit(bit, p uint32) {
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
