package zstdtokens

import "fmt"

// write appends the block that c.b holds, coded. The tables that it brings become those of c.
func (c *coder) write(out []byte) ([]byte, error) {
	out, ok := c.writeLiterals(out)
	if ok {
		out, ok = c.writeSequences(out)
	}
	if !ok {
		return nil, fmt.Errorf("%w: tokens that can't be coded", ErrInvalid)
	}
	return out, nil
}

// writeLiterals appends the literals section.
func (c *coder) writeLiterals(out []byte) ([]byte, bool) {
	b := &c.b
	size := len(b.literals)
	if b.kind <= sameLiterals {
		head := uint32(b.kind) | uint32(b.sizes)<<2
		if most := map[byte]int{0: 31, 1: 0xfff, 3: maxBlock}[b.sizes]; size > most {
			return nil, false
		}
		switch b.sizes {
		case 1:
			head |= uint32(size) << 4 //nolint:gosec // at most 2¹⁷
			out = append(out, byte(head), byte(head>>8))
		case 3:
			head |= uint32(size) << 4 //nolint:gosec // at most 2¹⁷
			out = append(out, byte(head), byte(head>>8), byte(head>>16))
		default:
			out = append(out, byte(head&7)|byte(size<<3)) //nolint:gosec // at most 31
		}
		if b.kind == sameLiterals {
			return append(out, b.literals[:min(1, size)]...), size > 0
		}
		return append(out, b.literals...), true
	}
	if b.kind == treeLiterals {
		tree, n, ok := readHuffman(b.tree)
		if !ok || n != len(b.tree) {
			return nil, false
		}
		c.tree = tree
	}
	if c.tree == nil || !c.tree.codes(b.literals) {
		return nil, false
	}
	width, header := []int{10, 10, 14, 18}[b.sizes], []int{3, 3, 4, 5}[b.sizes]
	at := len(out)
	out = append(out, make([]byte, header)...)
	out = append(out, b.tree...)
	out, ok := c.writeStreams(out)
	packed := len(out) - at - header
	if !ok || size >= 1<<width || packed >= 1<<width {
		return nil, false
	}
	//nolint:gosec // all below 2¹⁸
	head := uint64(b.kind) | uint64(b.sizes)<<2 | uint64(size)<<4 | uint64(packed)<<(4+width)
	for i := range header {
		out[at+i] = byte(head >> (8 * i))
	}
	return out, true
}

// writeStreams appends one or four streams of literals.
func (c *coder) writeStreams(out []byte) ([]byte, bool) {
	literals := c.b.literals
	if c.b.sizes == 0 {
		return c.tree.write(out, literals), true
	}
	each, at := (len(literals)+3)/4, len(out)
	if 3*each > len(literals) {
		return nil, false
	}
	out = append(out, 0, 0, 0, 0, 0, 0)
	for i := range 4 {
		from := len(out)
		if i == 3 {
			return c.tree.write(out, literals[3*each:]), true
		}
		out = c.tree.write(out, literals[i*each:(i+1)*each])
		n := len(out) - from
		if n > 0xffff {
			return nil, false
		}
		out[at+2*i], out[at+2*i+1] = byte(n), byte(n>>8)
	}
	return out, true
}

// writeSequences appends the sequences section.
func (c *coder) writeSequences(out []byte) ([]byte, bool) {
	b := &c.b
	switch n := len(b.seq); {
	case n < 128:
		out = append(out, byte(n))
	case n < 0x7f00:
		out = append(out, byte(n>>8)+128, byte(n))
	default:
		out = append(out, 255, byte(n-0x7f00), byte((n-0x7f00)>>8))
	}
	if len(b.seq) == 0 {
		return out, true
	}
	out = append(out, b.modes)
	for kind := range kinds {
		n, ok := c.table(kind, b.modes>>(6-2*kind)&3, b.tables[kind])
		if !ok || n != len(b.tables[kind]) {
			return nil, false
		}
		out = append(out, b.tables[kind]...)
	}
	w := writer{out: out}
	if b.modes&3 != 0 || !c.codeSequences(&w) {
		return nil, false
	}
	return w.close(), true
}

// codeSequences writes sequences from the last to the first, and then the states that reading begins with.
func (c *coder) codeSequences(w *writer) bool {
	b := &c.b
	var state [kinds]uint32
	for i := len(b.seq) - 1; i >= 0; i-- {
		s := b.seq[i]
		if s.offset == 0 || s.literals > maxBlock || s.match > maxBlock {
			return false
		}
		l, lengthBits, lengthWidth := lengthCodes.code(s.literals)
		m, matchBits, matchWidth := matchCodes.code(s.match)
		o, offsetBits, offsetWidth := offsetCode(s.offset)
		codes := [kinds]uint8{lengths: l, offsets: o, matches: m}
		if i == len(b.seq)-1 {
			for kind := range kinds {
				t := c.tables[kind]
				if int(b.last[kind]) >= len(t.decode) || t.decode[b.last[kind]].symbol != codes[kind] {
					return false
				}
				state[kind] = uint32(b.last[kind]) + 1<<t.log
			}
		} else {
			for _, kind := range [kinds]int{offsets, matches, lengths} {
				if !c.tables[kind].has(codes[kind]) {
					return false
				}
				state[kind] = c.tables[kind].put(w, state[kind], codes[kind])
			}
		}
		w.add(lengthBits, lengthWidth)
		w.add(matchBits, matchWidth)
		w.add(offsetBits, offsetWidth)
	}
	for _, kind := range [kinds]int{matches, offsets, lengths} {
		w.add(state[kind], c.tables[kind].log)
	}
	return true
}
