package residual

// MixedDecoder reads pieces of version 2 of the format, which nothing writes any more. It is as Decoder.
type MixedDecoder struct {
	m *mixed
	c source
}

// source is the arithmetic code that is read.
type source struct {
	low, high, code uint32
	b               []byte // what is still to be read
	short           bool   // more was asked for than there is
}

// NewMixedDecoder makes a decoder.
func NewMixedDecoder() *MixedDecoder { return &MixedDecoder{m: newMixed()} }

// Begin begins a piece, which must stay as it is until End.
func (d *MixedDecoder) Begin(piece []byte) {
	d.c = source{high: 1<<32 - 1, b: piece}
	for range 4 {
		d.c.code = d.c.code<<8 | d.c.byte()
	}
}

// End reports with ErrInvalid when the piece was not used up.
func (d *MixedDecoder) End() error {
	if d.c.short || len(d.c.b) > 0 {
		return ErrInvalid
	}
	return nil
}

// Add makes new bytes of old ones, as many as Encoder.Add was given at the same place.
func (d *MixedDecoder) Add(p Place, b []byte) error {
	r := d.m.run(p, b)
	w, blocks := window{}, uint32(0)
	for at := 0; at < len(b); at += blockSize {
		end := min(at+blockSize, len(b))
		slot := &d.m.blocks[blocks&7]
		some := d.c.bit(clamp(*slot >> 16))
		d.m.update(slot, some)
		blocks = blocks<<1 | some
		if some == 0 {
			r.pass(at, end)
			w = window{}
			continue
		}
		d.block(&r, &w, at, end)
		if d.c.short {
			return ErrInvalid
		}
	}
	r.end()
	return nil
}

// block reads the differences of a block.
func (d *MixedDecoder) block(r *run, w *window, at, end int) {
	m, c := d.m, d.c
	for i := at; i < end; i++ {
		if r.may(i) {
			r.next(i)
		}
		s := r.spot(i)
		s0 := &m.flags[0][w.hist&255|s.field<<8]
		s1 := &m.flags[1][sum(s.field<<16|w.hist&15<<8|s.back&255, s.front&255)>>(32-flagBits)]
		s2 := &m.flags[2][sum(s.front, 77)>>(32-flagBits)]
		x0, x1, x2 := int32(m.stretch[*s0>>20]), int32(m.stretch[*s1>>20]), int32(m.stretch[*s2>>20])
		weight := &m.flagWeights[w.hist&15|s.field<<4]
		p := m.mix((x0*(weight[0]>>2) + x1*(weight[1]>>2) + x2*(weight[2]>>2)) >> 14)
		mid := c.low + uint32(uint64(c.high-c.low)*uint64(p<<4)>>16)
		some := c.take(mid)
		if (c.low^c.high)>>24 == 0 {
			c.shift()
		}
		err := (int32(some<<12) - p) * 6
		weight[0] += (x0*err + 0x8000) >> 16
		weight[1] += (x1*err + 0x8000) >> 16
		weight[2] += (x2*err + 0x8000) >> 16
		m.update(s0, some)
		m.update(s1, some)
		m.update(s2, some)
		if some == 0 {
			w.hist, w.diffs = w.hist<<1, w.diffs<<8
			continue
		}
		diff := m.read(&c, w, &s)
		r.b[i] += diff
		w.hist, w.diffs = w.hist<<1|1, w.diffs<<8|uint32(diff)
	}
	d.c = c
}

// read reads a difference that is not 0.
func (m *mixed) read(c *source, w *window, s *spot) byte {
	a, b := m.contexts(w, s)
	d, slot := m.likely(a, b)
	hit := uint32(0)
	if slot != nil {
		hit = c.bit(clamp(*slot >> 16))
		m.update(slot, hit)
	}
	if hit == 0 {
		d = m.readValue(c, w, s)
	}
	a.next(d)
	b.next(d)
	return d
}

// readValue reads the bits of a difference.
func (m *mixed) readValue(in *source, w *window, s *spot) byte {
	c0 := sum(w.diffs&255|s.field<<8, 1)
	c1 := sum(s.back&255<<8|s.front&255, 2)
	c2 := sum(w.diffs&255|w.diffs>>24<<8, 3)
	c3 := sum(s.front, 4)
	c := *in
	node := uint32(1)
	for range 2 {
		half := uint32(1)
		t0, t1 := m.half(0, c0), m.half(1, c1)
		t2, t3 := m.half(2, c2), m.half(3, c3)
		for range 4 {
			s0, s1, s2, s3 := &t0[half&15], &t1[half&15], &t2[half&15], &t3[half&15]
			x0, x1 := int32(m.stretch[*s0>>20]), int32(m.stretch[*s1>>20])
			x2, x3 := int32(m.stretch[*s2>>20]), int32(m.stretch[*s3>>20])
			weight := &m.valueWeights[node&255]
			p := m.mix((x0*(weight[0]>>2) + x1*(weight[1]>>2) + x2*(weight[2]>>2) + x3*(weight[3]>>2)) >> 14)
			mid := c.low + uint32(uint64(c.high-c.low)*uint64(p<<4)>>16)
			bit := c.take(mid)
			if (c.low^c.high)>>24 == 0 {
				c.shift()
			}
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
		up := node * 0x9e3779b1
		c0, c1, c2, c3 = c0+up, c1+up, c2+up, c3+up
	}
	*in = c
	return byte(node)
}

// half gives the slots of one half of the bits: one cache line.
func (m *mixed) half(table int, context uint32) *[16]uint32 {
	at := context >> (32 - valueBits) &^ 15
	return (*[16]uint32)(m.values[table][at : at+16])
}

// bit reads a bit that is 1 with a probability, of 65536.
func (c *source) bit(p uint32) uint32 {
	bit := c.take(c.low + uint32(uint64(c.high-c.low)*uint64(p)>>16))
	c.shift()
	return bit
}

// take reads a bit, where mid splits the range. Who takes one shifts then, if there is something to shift.
func (c *source) take(mid uint32) uint32 {
	bit := uint32((uint64(c.code) - uint64(mid) - 1) >> 63)
	c.high = c.high&(bit-1) | mid&-bit
	c.low = c.low&-bit | (mid+1)&(bit-1)
	return bit
}

// shift moves what both ends of the range agree on out.
func (c *source) shift() {
	for (c.low^c.high)>>24 == 0 {
		c.code = c.code<<8 | c.byte()
		c.low <<= 8
		c.high = c.high<<8 | 255
	}
}

// byte takes the next byte of the piece.
func (c *source) byte() uint32 {
	if len(c.b) == 0 {
		c.short = true
		return 0
	}
	b := c.b[0]
	c.b = c.b[1:]
	return uint32(b)
}
