package residual

// repeat is a difference that was seen in a context last, and how often in a row.
type repeat struct {
	key  uint16 // of the context
	d, n byte
}

// next takes note of another one.
func (r *repeat) next(d byte) {
	switch {
	case r.n > 0 && r.d == d:
		r.n = min(r.n+1, 255)
	case r.n > 2:
		r.n /= 4
	default:
		r.d, r.n = d, 1
	}
}

// seen gives the entry of a context.
func (m *model) seen(table int, context uint32) *repeat {
	r := &m.repeated[table][context>>(32-repeatBits)]
	if r.key != uint16(context) {
		*r = repeat{key: uint16(context)}
	}
	return r
}

// one codes one difference.
func (m *model) one(c *coder, w *window, s *spot) byte {
	some := uint32(0)
	if s.d != 0 {
		some = 1
	}
	if m.flag(c, w, s, some) == 0 {
		return 0
	}
	a := m.seen(0, sum(s.front^s.back<<24, w.diffs&255|s.field<<8|9<<16))
	b := m.seen(1, sum(w.diffs&0xffff|s.field<<16, w.diffs>>24))
	d, known := m.repeat(c, a, b, s.d)
	if !known {
		d = m.value(c, w, s)
	}
	a.next(d)
	b.next(d)
	return d
}

// repeat codes whether a difference is the one that was seen before in two contexts, in the one where it was seen more
// often.
func (m *model) repeat(c *coder, a, b *repeat, d byte) (byte, bool) {
	if a.n == 0 && b.n == 0 {
		return 0, false
	}
	likely := a.d
	if b.n > a.n {
		likely = b.d
	}
	agree := uint32(0)
	if a.n > 0 && b.n > 0 {
		agree = 1
		if a.d == b.d {
			agree = 2
		}
	}
	hit := uint32(0)
	if d == likely {
		hit = 1
	}
	slot := &m.repeats[(uint32(min(a.n, 7))<<3|uint32(min(b.n, 7)))*3+agree]
	hit = c.bit(hit, clamp(*slot>>16))
	m.update(slot, hit)
	return likely, hit == 1
}
