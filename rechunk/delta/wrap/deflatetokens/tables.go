package deflatetokens

// Symbols of the alphabet of literals and lengths (RFC 1951, 3.2.5).
const (
	endOfBlock  = 256
	firstLength = 257
	leastMatch  = 3
)

// lengthBits and distanceBits are how many bits follow each code, the codes being in ascending order of what they stand for.
// The last code of lengths stands for 258 alone.
var (
	lengthBits   = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceBits = [...]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
		13}
	// order is that in which lengths of the code of code lengths come.
	order = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

// ranges are where codes begin.
type ranges struct {
	base []int
	bits []uint8
}

func newRanges(bits []uint8) ranges {
	r := ranges{bits: bits}
	at := 0
	for _, n := range bits {
		r.base = append(r.base, at)
		at += 1 << n
	}
	return r
}

// code returns the code of a value, and what its bits hold.
func (r *ranges) code(v int) (code, rest, n int) {
	code = len(r.base) - 1
	for r.base[code] > v {
		code--
	}
	return code, v - r.base[code], int(r.bits[code])
}

// alphabets are the codes of the streams' numbers.
type alphabets struct{ lengths, distances ranges }

func newAlphabets() alphabets {
	a := alphabets{newRanges(lengthBits[:]), newRanges(distanceBits[:])}
	// 258 has a code of its own, though the one before reaches as far.
	a.lengths.base[len(lengthBits)-1] = 258 - leastMatch
	return a
}

// fixed are the codes of blocks that bring none (3.2.6).
func fixed() (literals, distances *code) {
	lengths := make([]uint8, 288)
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	literals, _ = newCode(lengths)
	short := make([]uint8, 30)
	for i := range short {
		short[i] = 5
	}
	distances, _ = newCode(short)
	return literals, distances
}

// dynamic is the description of a block's codes (3.2.7).
type dynamic struct {
	literals, distances int      // how many lengths
	code                []uint8  // lengths of the code of code lengths, in the order that they come in
	symbols             []symbol // of that code
	told                int      // how many lengths the symbols stand for
}

// add takes the next symbol.
func (d *dynamic) add(s symbol) {
	_, least := repeats(int(s.value))
	d.symbols = append(d.symbols, s)
	d.told += least + int(s.extra)
}

// full says whether the symbols stand for all lengths.
func (d *dynamic) full() bool { return d.told >= d.literals+d.distances }

type symbol struct{ value, extra uint8 }

// repeats are how many bits follow a symbol of code lengths, and what they are added to; 0 for a length itself.
func repeats(s int) (bits, least int) {
	switch s {
	case 16:
		return 2, 3
	case 17:
		return 3, 3
	case 18:
		return 7, 11
	}
	return 0, 1
}

// codes makes the two codes; false if the description isn't one.
func (d *dynamic) codes() (literals, distances *code, ok bool) {
	var lengths []uint8
	for _, s := range d.symbols {
		_, least := repeats(int(s.value))
		v := s.value
		switch {
		case v == 16 && len(lengths) == 0:
			return nil, nil, false
		case v == 16:
			v = lengths[len(lengths)-1]
		case v > 16:
			v = 0
		}
		for range least + int(s.extra) {
			lengths = append(lengths, v)
		}
	}
	if len(lengths) != d.literals+d.distances || lengths[endOfBlock] == 0 {
		return nil, nil, false
	}
	literals, ok1 := newCode(lengths[:d.literals])
	distances, ok2 := newCode(lengths[d.literals:])
	return literals, distances, ok1 && ok2
}

// meta makes the code of code lengths.
func (d *dynamic) meta() (*code, bool) {
	lengths := make([]uint8, len(order))
	for i, n := range d.code {
		lengths[order[i]] = n
	}
	return newCode(lengths)
}
