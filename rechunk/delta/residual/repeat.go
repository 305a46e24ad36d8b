package residual

const repeatBits = 14 // of each context's table, by its logarithm

// repeats know the differences that were seen in two contexts, and how likely they are seen again.
type repeats struct {
	rates
	repeated [2][1 << repeatBits]repeat
	again    [64 * 3]uint32
}

func (m *repeats) start() {
	m.rates.start()
	fill(m.again[:], even)
}

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
func (m *repeats) seen(table int, context uint32) *repeat {
	r := &m.repeated[table][context>>(32-repeatBits)]
	if r.key != uint16(context) {
		*r = repeat{key: uint16(context)}
	}
	return r
}

// contexts are the entries of a difference's two contexts.
func (m *repeats) contexts(w *window, s *spot) (a, b *repeat) {
	return m.seen(0, sum(s.front^s.back<<24, w.diffs&255|s.field<<8|9<<16)),
		m.seen(1, sum(w.diffs&0xffff|s.field<<16, w.diffs>>24))
}

// likely gives the difference that was seen before, where it was seen more often, and the slot of whether it is that again;
// nil when none was.
func (m *repeats) likely(a, b *repeat) (byte, *uint32) {
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
	return likely, &m.again[(uint32(min(a.n, 7))<<3|uint32(min(b.n, 7)))*3+agree]
}
