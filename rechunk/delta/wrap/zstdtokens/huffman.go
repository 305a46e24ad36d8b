package zstdtokens

import "math/bits"

// maxHuffman is how many bits a code may have.
const maxHuffman = 11

// huffman is a Huffman code of bytes (RFC 8878, 4.2), for both directions.
type huffman struct {
	log    int
	decode []entry // by the next log bits
	code   [256]uint16
	bits   [256]uint8 // 0: not coded
}

type entry struct{ symbol, bits uint8 }

// readHuffman reads the description of a tree, and returns the bytes that it takes.
func readHuffman(data []byte) (*huffman, int, bool) {
	if len(data) == 0 {
		return nil, 0, false
	}
	head, body := int(data[0]), data[1:]
	var weights []uint8
	n := head
	if head >= 128 {
		count := head - 127
		n = (count + 1) / 2
		if n > len(body) {
			return nil, 0, false
		}
		for i := range count {
			weights = append(weights, body[i/2]>>(4*(1-i&1))&15)
		}
	} else {
		var ok bool
		if n > len(body) {
			return nil, 0, false
		}
		if weights, ok = readWeights(body[:n]); !ok {
			return nil, 0, false
		}
	}
	h, ok := newHuffman(weights)
	return h, 1 + n, ok
}

// readWeights reads weights that are coded with FSE, by two states in turns.
func readWeights(data []byte) ([]uint8, bool) {
	log, norm, n, ok := counts(data, 6, 255)
	if !ok {
		return nil, false
	}
	t := newTable(log, norm)
	b, ok := newBackward(data[n:])
	if !ok {
		return nil, false
	}
	states := [2]uint32{b.read(log), b.read(log)}
	if b.left < 0 {
		return nil, false
	}
	var weights []uint8
	for i := 0; len(weights) < 255; i ^= 1 {
		c := t.decode[states[i]]
		weights = append(weights, c.symbol)
		states[i] = uint32(c.next) + b.read(int(c.bits))
		if b.left < 0 {
			return append(weights, t.decode[states[i^1]].symbol), len(weights) < 255
		}
	}
	return nil, false
}

// newHuffman makes the code that weights describe; that of the last symbol follows from the others.
func newHuffman(weights []uint8) (*huffman, bool) {
	sum := 0
	for _, w := range weights {
		if w > maxHuffman {
			return nil, false
		}
		sum += 1 << w >> 1
	}
	if sum == 0 || len(weights) > 255 {
		return nil, false
	}
	h := &huffman{log: bits.Len(uint(sum))}
	rest := 1<<h.log - sum
	if h.log > maxHuffman || rest&(rest-1) != 0 {
		return nil, false
	}
	weights = append(weights, uint8(bits.Len(uint(rest)))) //nolint:gosec // at most 11
	h.decode = make([]entry, 0, 1<<h.log)
	for w := 1; w <= h.log; w++ {
		for s, weight := range weights {
			if int(weight) != w {
				continue
			}
			h.bits[s] = uint8(h.log + 1 - w)             //nolint:gosec // at most 11
			h.code[s] = uint16(len(h.decode) >> (w - 1)) //nolint:gosec // below 2¹¹
			for range 1 << (w - 1) {
				h.decode = append(h.decode, entry{uint8(s), h.bits[s]}) //nolint:gosec // at most 255
			}
		}
	}
	return h, len(h.decode) == 1<<h.log
}

// read decodes a stream of n symbols.
func (h *huffman) read(out, data []byte, n int) ([]byte, bool) {
	b, ok := newBackward(data)
	if !ok {
		return nil, false
	}
	for range n {
		e := h.decode[b.peek(h.log)]
		out = append(out, e.symbol)
		b.left -= int(e.bits)
	}
	return out, b.left == 0
}

// write codes symbols as a stream. All of them must have a code.
func (h *huffman) write(out, symbols []byte) []byte {
	w := writer{out: out}
	for i := len(symbols) - 1; i >= 0; i-- {
		s := symbols[i]
		w.add(uint32(h.code[s]), int(h.bits[s]))
	}
	return w.close()
}

// codes says whether all symbols have a code.
func (h *huffman) codes(symbols []byte) bool {
	for _, s := range symbols {
		if h.bits[s] == 0 {
			return false
		}
	}
	return true
}
