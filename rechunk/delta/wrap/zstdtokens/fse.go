package zstdtokens

import "math/bits"

// table is an FSE table (RFC 8878, 4.1), for both directions. With log 0 it stands for one symbol that takes no bits.
type table struct {
	log    int
	decode []cell
	// encode holds states by symbol, in the order of decode; symbols says where those of a symbol are.
	encode  []uint16
	symbols []symbol
}

// cell is a state: the symbol that it stands for, and how to get the next one.
type cell struct {
	symbol, bits uint8
	next         uint16
}

// symbol is how one is encoded, as in the reference implementation.
type symbol struct {
	bits  uint32 // nbBits = (state + bits) >> 16
	state int32  // next = encode[state>>nbBits + this]
	there bool
}

// counts reads a table's description: the accuracy and the symbols' normalized counts, of which −1 is less than one. It
// returns the bytes that it takes.
func counts(data []byte, maxLog, maxSymbol int) (log int, norm []int16, n int, ok bool) {
	f := forward{data: data}
	log = f.peek(4) + 5
	f.at = 4
	if log > maxLog || len(data) == 0 {
		return 0, nil, 0, false
	}
	remaining, threshold, width, zero := 1<<log+1, 1<<log, log+1, false
	for remaining > 1 && len(norm) <= maxSymbol {
		if zero {
			for repeat := 3; repeat == 3 && len(norm) <= maxSymbol; f.at += 2 {
				repeat = f.peek(2)
				norm = append(norm, make([]int16, repeat)...)
			}
			zero = false
			continue
		}
		low, v := 2*threshold-1-remaining, f.peek(width)
		count := v & (threshold - 1)
		if count < low {
			f.at += width - 1
		} else {
			if count = v & (2*threshold - 1); count >= threshold {
				count -= low
			}
			f.at += width
		}
		count--
		remaining -= max(count, -count)
		norm = append(norm, int16(count)) //nolint:gosec // at most 2¹⁰
		zero = count == 0
		for remaining < threshold && threshold > 1 {
			width--
			threshold >>= 1
		}
	}
	n, ok = f.bytes()
	return log, norm, n, ok && remaining == 1 && len(norm) <= maxSymbol+1
}

// newTable makes a table of counts that add up to 2^log.
func newTable(log int, norm []int16) *table {
	size := 1 << log
	t := &table{log: log, decode: make([]cell, size), encode: make([]uint16, size), symbols: make([]symbol, len(norm))}
	high := size - 1
	for s, n := range norm {
		if n < 0 {
			t.decode[high].symbol = uint8(s) //nolint:gosec // at most 255
			high--
		}
	}
	at, step := 0, size>>1+size>>3+3
	for s, n := range norm {
		for range n {
			t.decode[at].symbol = uint8(s) //nolint:gosec // at most 255
			for at = (at + step) & (size - 1); at > high; {
				at = (at + step) & (size - 1)
			}
		}
	}
	t.index(norm)
	return t
}

// index fills in what follows from which symbol each state stands for.
func (t *table) index(norm []int16) {
	size, total := 1<<t.log, 0
	first, next := make([]int, len(norm)), make([]int, len(norm))
	for s, n := range norm {
		first[s], next[s] = total, max(int(n), -int(n))
		if n == 0 {
			continue
		}
		count := next[s]
		width := t.log - (bits.Len(uint(count)) - 1)
		if count > 1 {
			width = t.log - (bits.Len(uint(count-1)) - 1)
		}
		//nolint:gosec // all of them below 2²⁰
		t.symbols[s] = symbol{uint32(width<<16 - count<<width), int32(total - count), true}
		total += count
	}
	for state := range t.decode {
		c := &t.decode[state]
		n := next[c.symbol]
		next[c.symbol]++
		c.bits = uint8(t.log - (bits.Len(uint(n)) - 1))  //nolint:gosec // at most 9
		c.next = uint16(n<<c.bits - size)                //nolint:gosec // below size
		t.encode[first[c.symbol]] = uint16(size + state) //nolint:gosec // below 2¹⁰
		first[c.symbol]++
	}
}

// single is the table of one symbol.
func single(s uint8) *table {
	t := &table{decode: []cell{{symbol: s}}, encode: []uint16{1}, symbols: make([]symbol, int(s)+1)}
	t.symbols[s] = symbol{0, -1, true}
	return t
}

// has says whether the symbol can be coded.
func (t *table) has(s uint8) bool { return int(s) < len(t.symbols) && t.symbols[s].there }

// put writes what leads from the state before a symbol to the given one, and returns that state. States of the writing side
// are those of the reading one plus the table's size.
func (t *table) put(w *writer, state uint32, s uint8) uint32 {
	sym := t.symbols[s]
	n := int((state + sym.bits) >> 16)
	w.add(state, n)
	return uint32(t.encode[int32(state>>n)+sym.state]) //nolint:gosec // below 2¹¹
}
