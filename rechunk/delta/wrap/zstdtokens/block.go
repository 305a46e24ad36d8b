package zstdtokens

import (
	"bytes"
	"fmt"
)

// maxBlock is how many bytes a block may stand for, and how many it may take.
const maxBlock = 128 << 10

// block is a compressed block, undone but for its order: what its headers say, the literals, and the sequences.
type block struct {
	// literals
	kind, sizes byte // Literals_Block_Type and Size_Format
	tree        []byte
	literals    []byte
	// sequences
	modes  byte
	tables [kinds][]byte // descriptions
	last   [kinds]uint16 // the states of the last sequence
	seq    []sequence
}

// sequence is how many literals come next, and the match behind them: values of codes, not of what they mean.
type sequence struct{ literals, match, offset uint32 }

// Types of literals.
const (
	rawLiterals = iota
	sameLiterals
	treeLiterals
	treelessLiterals
)

// Modes of tables.
const (
	predefined = iota
	oneSymbol
	described
	repeated
)

// coder is what blocks of a frame take from those before.
type coder struct {
	forms  [kinds]form
	tree   *huffman
	tables [kinds]*table
	b      block // used again
}

func newCoder() *coder { return &coder{forms: forms()} }

// sectionHeader is what a literals section says of itself.
type sectionHeader struct{ header, size, packed, streams int }

// literalsHeader reads the header of a literals section.
func literalsHeader(data []byte) (kind, sizes byte, h sectionHeader, ok bool) {
	if len(data) == 0 {
		return 0, 0, h, false
	}
	kind, sizes = data[0]&3, data[0]>>2&3
	var v uint64
	for i, c := range data[:min(len(data), 5)] {
		v |= uint64(c) << (8 * i)
	}
	h.streams = 4
	if kind <= sameLiterals {
		h.streams = 0
		switch sizes {
		case 1:
			h.header, h.size = 2, int(v>>4&0xfff)
		case 3:
			h.header, h.size = 3, int(v>>4&0xfffff)
		default:
			h.header, h.size = 1, int(v>>3&31)
			sizes = 0
		}
		h.packed = h.size
		if kind == sameLiterals {
			h.packed = 1
		}
	} else {
		width := []int{10, 10, 14, 18}[sizes]
		h.header = []int{3, 3, 4, 5}[sizes]
		h.size, h.packed = int(v>>4)&(1<<width-1), int(v>>(4+width))&(1<<width-1)
		if sizes == 0 {
			h.streams = 1
		}
	}
	return kind, sizes, h, h.header+h.packed <= len(data) && h.size <= maxBlock
}

// readLiterals reads the literals section, and returns the bytes that it takes.
func (c *coder) readLiterals(data []byte) (int, bool) {
	b := &c.b
	b.tree, b.literals = b.tree[:0], b.literals[:0]
	var h sectionHeader
	var ok bool
	if b.kind, b.sizes, h, ok = literalsHeader(data); !ok {
		return 0, false
	}
	packed := data[h.header : h.header+h.packed]
	switch b.kind {
	case rawLiterals:
		b.literals = append(b.literals, packed...)
		return h.header + h.packed, true
	case sameLiterals:
		b.literals = append(b.literals, bytes.Repeat(packed[:1], h.size)...)
		return h.header + 1, true
	case treeLiterals:
		tree, n, ok := readHuffman(packed)
		if !ok {
			return 0, false
		}
		c.tree = tree
		b.tree = append(b.tree, packed[:n]...)
		packed = packed[n:]
	}
	return h.header + h.packed, c.tree != nil && c.streams(packed, h)
}

// streams reads one or four streams of literals.
func (c *coder) streams(packed []byte, h sectionHeader) (ok bool) {
	b := &c.b
	if h.streams == 1 {
		b.literals, ok = c.tree.read(b.literals, packed, h.size)
		return ok
	}
	each := (h.size + 3) / 4
	if len(packed) < 6 || 3*each > h.size {
		return false
	}
	jumps, packed := packed[:6], packed[6:]
	for i := range 4 {
		n, symbols := len(packed), h.size-3*each
		if i < 3 {
			n, symbols = int(jumps[2*i])|int(jumps[2*i+1])<<8, each
		}
		if n > len(packed) {
			return false
		}
		if b.literals, ok = c.tree.read(b.literals, packed[:n], symbols); !ok {
			return false
		}
		packed = packed[n:]
	}
	return true
}

// readSequences reads the sequences section, which is all of data.
func (c *coder) readSequences(data []byte) bool {
	b := &c.b
	b.seq, b.modes = b.seq[:0], 0
	n, head, ok := sequenceCount(data)
	if !ok || n == 0 {
		return ok && head == len(data)
	}
	if head >= len(data) {
		return false
	}
	b.modes = data[head]
	data = data[head+1:]
	for kind := range kinds {
		taken, ok := c.table(kind, b.modes>>(6-2*kind)&3, data)
		if !ok {
			return false
		}
		b.tables[kind] = append(b.tables[kind][:0], data[:taken]...)
		data = data[taken:]
	}
	in, ok := newBackward(data)
	return ok && b.modes&3 == 0 && c.sequences(&in, n)
}

// sequenceCount reads how many sequences there are.
func sequenceCount(data []byte) (n, header int, ok bool) {
	switch {
	case len(data) == 0:
		return 0, 0, false
	case data[0] < 128:
		return int(data[0]), 1, true
	case data[0] < 255 && len(data) >= 2:
		return int(data[0]-128)<<8 + int(data[1]), 2, true
	case data[0] == 255 && len(data) >= 3:
		return int(data[1]) + int(data[2])<<8 + 0x7f00, 3, true
	}
	return 0, 0, false
}

// table makes the table of a kind of codes the one that a mode and the data say, and returns the bytes that are its
// description.
func (c *coder) table(kind int, mode byte, data []byte) (int, bool) {
	f := &c.forms[kind]
	switch mode {
	case predefined:
		c.tables[kind] = newTable(f.defaultLog, f.norm)
		return 0, true
	case oneSymbol:
		if len(data) == 0 || int(data[0]) > f.most {
			return 0, false
		}
		c.tables[kind] = single(data[0])
		return 1, true
	case described:
		log, norm, n, ok := counts(data, f.log, f.most)
		if ok {
			c.tables[kind] = newTable(log, norm)
		}
		return n, ok
	}
	return 0, c.tables[kind] != nil
}

// sequences decodes n of them.
func (c *coder) sequences(in *backward, n int) bool {
	b := &c.b
	var state [kinds]uint32
	for kind := range kinds {
		state[kind] = in.read(c.tables[kind].log)
	}
	for i := range n {
		l, o, m := c.tables[lengths].decode[state[lengths]], c.tables[offsets].decode[state[offsets]],
			c.tables[matches].decode[state[matches]]
		var s sequence
		s.offset = 1<<o.symbol + in.read(int(o.symbol))
		base, width := matchCodes.value(m.symbol)
		s.match = base + in.read(width)
		base, width = lengthCodes.value(l.symbol)
		s.literals = base + in.read(width)
		b.seq = append(b.seq, s)
		if i == n-1 {
			for kind := range kinds {
				b.last[kind] = uint16(state[kind]) //nolint:gosec // below 2⁹
			}
			break
		}
		state[lengths] = uint32(l.next) + in.read(int(l.bits))
		state[matches] = uint32(m.next) + in.read(int(m.bits))
		state[offsets] = uint32(o.next) + in.read(int(o.bits))
		if in.left < 0 {
			return false
		}
	}
	return in.left == 0
}

// read undoes a compressed block.
func (c *coder) read(data []byte) error {
	n, ok := c.readLiterals(data)
	if !ok || !c.readSequences(data[n:]) {
		return fmt.Errorf("%w: a block", ErrInvalid)
	}
	left := len(c.b.literals)
	for _, s := range c.b.seq {
		if left -= int(s.literals); left < 0 {
			return fmt.Errorf("%w: more literals than there are", ErrInvalid)
		}
	}
	return nil
}
