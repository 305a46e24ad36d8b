package residual

import (
	"encoding/binary"
	"errors"
)

// ErrInvalid says that a piece holds less or more than what was asked of it.
var ErrInvalid = errors.New("invalid differences")

// MaxRun is the number of differences that are coded with one call, at most.
const MaxRun = 256 << 10

// Encoder writes pieces. What was written before makes what follows smaller. It is for one goroutine.
type Encoder struct {
	m        *model
	c        writer
	old, new []byte
}

// NewEncoder makes an encoder.
func NewEncoder() *Encoder { return &Encoder{m: newModel(), c: writer{size: 1<<64 - 1}} }

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
		e.slot(&e.m.blocks[blocks&255], some)
		if blocks = blocks<<1 | some; some == 0 {
			w = window{}
			continue
		}
		for i := range n {
			e.one(&w, &spots[i])
			w.next(spots[i].d)
		}
	}
	r.end()
}

// slot codes a bit by a slot.
func (e *Encoder) slot(s *uint32, bit uint32) {
	e.c.bit(bit, clamp(*s>>16))
	e.m.update(s, bit)
}

// one codes one difference.
func (e *Encoder) one(w *window, s *spot) {
	some := uint32(1)
	if s.d == 0 {
		some = 0
	}
	history, slot := e.m.flag(w.hist, s.back&255, s.front&255, s.field)
	e.slot(slot, some)
	if *history = followed(*history, some); some == 0 {
		return
	}
	a, b := e.m.contexts(w, s)
	hit := uint32(0)
	if likely, slot := e.m.likely(a, b); slot != nil {
		if s.d == likely {
			hit = 1
		}
		e.slot(slot, hit)
	}
	if hit == 0 {
		e.value(s)
	}
	a.next(s.d)
	b.next(s.d)
}

// value codes the bits of a new byte.
func (e *Encoder) value(s *spot) {
	v := s.d + byte(s.front)
	for node := uint32(1); node < 256; v <<= 1 {
		before, instead := &e.m.before[s.back&255<<8|node], &e.m.instead[s.front&255<<8|node]
		p := &e.m.both[*before>>11<<5|*instead>>11]
		bit := uint32(v >> 7)
		e.c.bit(bit, clamp(uint32(*p)))
		toward(p, bit, slowly)
		toward(before, bit, fast)
		toward(instead, bit, fast)
		node = node<<1 | bit
	}
}

// Flush ends a piece and returns it. It is valid until the next call.
func (e *Encoder) Flush() []byte {
	c := &e.c
	c.add(1<<32 - 1) // of what is left, a number whose last four bytes are 0, which are not written
	out := binary.BigEndian.AppendUint32(c.b, uint32(c.low>>32))
	*c = writer{size: 1<<64 - 1, b: out[:0]}
	return out
}

// writer writes an arithmetic code: a number of low and what is less than size above it (Martin, "Range encoding", 1979).
type writer struct {
	low, size uint64
	b         []byte // what was written
}

// bit codes a bit that is 1 with a probability, of 65536.
func (c *writer) bit(bit, p uint32) {
	part := (c.size >> 16) * uint64(p)
	if bit == 1 {
		c.size = part
	} else {
		c.add(part)
		c.size -= part
	}
	if c.size < 1<<32 {
		c.b = binary.BigEndian.AppendUint32(c.b, uint32(c.low>>32))
		c.low <<= 32
		c.size <<= 32
	}
}

// add adds to low, and carries into what was written.
func (c *writer) add(n uint64) {
	c.low += n
	if c.low >= n {
		return
	}
	for i := len(c.b) - 1; i >= 0; i-- {
		if c.b[i]++; c.b[i] != 0 {
			return
		}
	}
}
