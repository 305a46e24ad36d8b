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

// both are the entries of a difference's two contexts.
func (m *model) both(w *window, s *spot) (a, b *repeat) {
	return m.seen(0, sum(s.front^s.back<<24, w.diffs&255|s.field<<8|9<<16)),
		m.seen(1, sum(w.diffs&0xffff|s.field<<16, w.diffs>>24))
}

// likely gives the difference that was seen before, where it was seen more often, and the slot of whether it is that again;
// nil when none was.
func (m *model) likely(a, b *repeat) (byte, *uint32) {
	if a.n == 0 && b.n == 0 {
		return 0, nil
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
	return likely, &m.repeats[(uint32(min(a.n, 7))<<3|uint32(min(b.n, 7)))*3+agree]
}

// one codes one difference.
func (m *model) one(c *coder, w *window, s *spot) {
	if s.d == 0 {
		m.flag(c, w, s, 0)
		return
	}
	m.flag(c, w, s, 1)
	a, b := m.both(w, s)
	if !m.repeat(c, a, b, s.d) {
		m.value(c, w, s)
	}
	a.next(s.d)
	b.next(s.d)
}

// repeat codes whether a difference is the likely one.
func (m *model) repeat(c *coder, a, b *repeat, d byte) bool {
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
