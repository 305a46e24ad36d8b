package residual

import (
	"encoding/binary"
	"math/bits"
)

// Decoder reads pieces, in the order in which they were written. It is for one goroutine.
//
// It does what Encoder does, written out once more: a bit that is read makes the next wait, so what is known of the code is
// kept at hand and no bit of a byte makes a branch.
type Decoder struct {
	m *model
	c reader
}

// NewDecoder makes a decoder.
func NewDecoder() *Decoder { return &Decoder{m: newModel()} }

// Begin begins a piece, which must stay as it is until End.
func (d *Decoder) Begin(piece []byte) {
	d.c = reader{size: 1<<64 - 1, b: piece}
	d.c.code = d.c.word()<<32 | d.c.word()
}

// End reports with ErrInvalid when the piece was not used up.
func (d *Decoder) End() error {
	if d.c.beyond != 1 || len(d.c.b) > 0 {
		return ErrInvalid
	}
	return nil
}

// Add makes new bytes of old ones, as many as Encoder.Add was given at the same place.
func (d *Decoder) Add(p Place, b []byte) error {
	r := d.m.run(p, b)
	w, blocks := window{}, uint32(0)
	for at := 0; at < len(b); at += blockSize {
		end := min(at+blockSize, len(b))
		slot := &d.m.blocks[blocks&255]
		some := d.c.bit(clamp(*slot >> 16))
		d.m.update(slot, some)
		if blocks = blocks<<1 | some; some == 0 {
			r.pass(at, end)
			w = window{}
			continue
		}
		d.block(&r, &w, at, end)
		if d.c.beyond > 1 {
			return ErrInvalid
		}
	}
	r.end()
	return nil
}

// block reads the differences of a block.
func (d *Decoder) block(r *run, w *window, at, end int) {
	m, c := d.m, &d.c
	for i := at; i < end; i++ {
		if r.may(i) {
			r.next(i)
		}
		field, last := uint32(0), uint32(0)
		if r.field.end > i {
			field = uint32(i - r.field.end + 5)
		}
		if i >= 2 {
			last = uint32(r.b[i-1])
		}
		history, slot := m.flag(w.hist, last, uint32(r.b[i]), field)
		some := c.bit(clamp(*slot >> 16))
		*history = followed(*history, some)
		m.update(slot, some)
		if some == 0 {
			w.hist, w.diffs = w.hist<<1, w.diffs<<8
			continue
		}
		s := r.spot(i)
		diff := m.read(c, w, &s)
		r.b[i] += diff
		w.hist, w.diffs = w.hist<<1|1, w.diffs<<8|uint32(diff)
	}
}

// read reads a difference that is not 0.
func (m *model) read(c *reader, w *window, s *spot) byte {
	a, b := m.contexts(w, s)
	d, slot := m.likely(a, b)
	hit := uint32(0)
	if slot != nil {
		hit = c.bit(clamp(*slot >> 16))
		m.update(slot, hit)
	}
	if hit == 0 {
		d = m.value(c, s) - byte(s.front)
	}
	a.next(d)
	b.next(d)
	return d
}

// value reads the bits of a new byte.
func (m *model) value(c *reader, s *spot) byte {
	before := (*[256]uint16)(m.before[s.back&255<<8:][:256])
	instead := (*[256]uint16)(m.instead[s.front&255<<8:][:256])
	node := uint32(1)
	for range 8 {
		x, y := &before[node&255], &instead[node&255]
		p := &m.both[(uint32(*x)>>11<<5|uint32(*y)>>11)&1023]
		bit := c.bit(clamp(uint32(*p)))
		toward(p, bit, slowly)
		toward(x, bit, fast)
		toward(y, bit, fast)
		node = node<<1 | bit
	}
	return byte(node)
}

// reader reads an arithmetic code.
type reader struct {
	code, size uint64
	b          []byte // what is still to be read
	beyond     int    // words that were read behind the end: one is not written
}

// bit reads a bit that is 1 with a probability, of 65536, and makes no branch of it.
func (c *reader) bit(p uint32) uint32 {
	part := (c.size >> 16) * uint64(p)
	left, bit := bits.Sub64(c.code, part, 0)
	c.code = left + part&-bit
	c.size -= part
	c.size ^= (c.size ^ part) & -bit
	if c.size < 1<<32 {
		c.code, c.size = c.code<<32|c.word(), c.size<<32
	}
	return uint32(bit)
}

// word takes the next four bytes of the piece.
func (c *reader) word() uint64 {
	if len(c.b) < 4 {
		c.beyond++
		return 0
	}
	v := binary.BigEndian.Uint32(c.b)
	c.b = c.b[4:]
	return uint64(v)
}
