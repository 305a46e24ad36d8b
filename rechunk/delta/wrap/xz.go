package wrap

import "encoding/binary"

// xzStream is what the structure of an .xz stream says (The .xz File Format, 1.2.1). The first block stands for all.
type xzStream struct {
	length, size int64
	check        byte
	filters      []xzFilter // the last is LZMA2
	dict         int64
	told         bool  // block headers hold both sizes
	blocks       int   // how many
	first        int64 // plain bytes of the first block
	props        int   // of the first LZMA chunk: (pb·5 + lp)·9 + lc; -1 without one
}

// xzFilter is one of a block's filters, by its id.
type xzFilter struct {
	id    int64
	props [8]byte
	n     int64 // of props
}

// lzma2 is the id of the filter that ends every chain; xzHeader the bytes of a stream's header, and of its footer.
const (
	lzma2    = 0x21
	xzHeader = 12
)

// Bounds of what is walked over, beyond any real stream's.
const (
	xzBlocks = 1 << 20
	xzChunks = 1 << 22
)

// readXz walks over the stream at off.
func readXz(s source, off int64) (xzStream, bool) {
	x := xzStream{props: -1}
	head := s.bytes(off, xzHeader)
	if head == nil || streamOf(head) != Xz || head[7] > 15 {
		return x, false
	}
	x.check = head[7]
	for at := off + xzHeader; x.blocks <= xzBlocks; x.blocks++ {
		size := s.bytes(at, 1)
		if size == nil {
			return x, false
		}
		if size[0] == 0 {
			return x, x.blocks > 0 && x.end(s, off, at)
		}
		next, plain, ok := x.block(s, at, (int64(size[0])+1)*4)
		if !ok {
			return x, false
		}
		if x.blocks == 0 {
			x.first = plain
		}
		if x.size += plain; x.size > 1<<50 {
			return x, false
		}
		at = next
	}
	return x, false
}

// checkSize is how many bytes the check of a block takes.
func (x *xzStream) checkSize() int64 {
	if x.check == 0 {
		return 0
	}
	return 4 << ((x.check - 1) / 3)
}

// block reads the block at off, whose header has that length, and returns where the next one is.
func (x *xzStream) block(s source, off, header int64) (next, plain int64, ok bool) {
	b := s.bytes(off, header)
	if b == nil || b[1]&0x3c != 0 {
		return 0, 0, false
	}
	flags, f := b[1], fields{b: b[2 : header-4]}
	packed, plain := int64(-1), int64(-1)
	if flags&0x40 != 0 {
		packed = f.number()
	}
	if flags&0x80 != 0 {
		plain = f.number()
	}
	var filters []xzFilter
	for range int(flags&3) + 1 {
		filters = append(filters, f.filter())
	}
	if f.bad || filters[len(filters)-1].id != lzma2 {
		return 0, 0, false
	}
	data := off + header
	if x.blocks == 0 {
		x.filters, x.told = filters, packed >= 0 && plain >= 0
		x.dict = dictionary(filters[len(filters)-1].props[0])
		x.props = firstProps(s, data)
	}
	if packed < 0 || plain < 0 {
		packed, plain, ok = chunks(s, data)
		if !ok {
			return 0, 0, false
		}
	}
	if plain > 1<<50 || packed > s.size-data {
		return 0, 0, false
	}
	return data + (packed+3)&^3 + x.checkSize(), plain, true
}

// end reads index and footer, with the index at off.
func (x *xzStream) end(s source, start, off int64) bool {
	// A number takes at most 9 bytes; an index of some blocks, more than a block of the cache. The footer tells its size,
	// but where it is must be found: so the index is read.
	at, records := off+1, int64(-1)
	for left := int64(1); left > 0; left-- {
		f := fields{b: s.most(at, 9)}
		n := f.number()
		if f.bad {
			return false
		}
		at += f.read
		if records < 0 {
			records = n
			if records != int64(x.blocks) {
				return false
			}
			left += 2 * records
		}
	}
	at = off + (at-off+3)&^3 + 4
	foot := s.bytes(at, xzHeader)
	if foot == nil || foot[10] != 'Y' || foot[11] != 'Z' ||
		(int64(binary.LittleEndian.Uint32(foot[4:]))+1)*4 != at-off {
		return false
	}
	x.length = at + xzHeader - start
	return true
}

// chunks walks over LZMA2 chunks.
func chunks(s source, off int64) (packed, plain int64, ok bool) {
	at := off
	for range xzChunks {
		b := s.most(at, 6)
		switch {
		case len(b) == 0:
			return 0, 0, false
		case b[0] == 0:
			return at + 1 - off, plain, true
		case len(b) < 6 || b[0] > 2 && b[0] < 0x80:
			return 0, 0, false
		case b[0] <= 2:
			n := int64(b[1])<<8 + int64(b[2]) + 1
			plain += n
			at += 3 + n
		default:
			plain += int64(b[0]&0x1f)<<16 + int64(b[1])<<8 + int64(b[2]) + 1
			at += 5 + int64(b[3])<<8 + int64(b[4]) + 1
			if b[0] >= 0xc0 {
				at++
			}
		}
	}
	return 0, 0, false
}

// firstProps returns the properties of the LZMA chunk at off, -1 if it has none.
func firstProps(s source, off int64) int {
	b := s.bytes(off, 6)
	if b == nil || b[0] < 0xc0 {
		return -1
	}
	return int(b[5])
}

// dictionary is the size that a property of LZMA2 stands for; 0 if it stands for none.
func dictionary(prop byte) int64 {
	switch {
	case prop > 40:
		return 0
	case prop == 40:
		return 1<<32 - 1
	}
	return (2 | int64(prop&1)) << (prop/2 + 11)
}

// fields reads numbers of variable length, 7 bits a byte, low ones first.
type fields struct {
	b    []byte
	read int64
	bad  bool
}

func (f *fields) number() int64 {
	var n int64
	for i, c := range f.b[:min(len(f.b), 9)] {
		n |= int64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.b = f.b[i+1:]
			f.read += int64(i) + 1
			return n
		}
	}
	f.bad = true
	return 0
}

// filter reads a filter's id and properties; those of the ids that are known have at most four bytes.
func (f *fields) filter() xzFilter {
	out := xzFilter{id: f.number()}
	out.n = f.number()
	if f.bad || out.n > int64(min(len(out.props), len(f.b))) {
		f.bad = true
		return out
	}
	copy(out.props[:], f.b[:out.n])
	f.b = f.b[out.n:]
	return out
}
