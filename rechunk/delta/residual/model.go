// Package residual compresses differences between old and new bytes: what is left when most of them are equal, or differ as
// addresses in a program do that was built again.
//
// Addresses in a program's code that count from where they are change when what lies between moves, and most do when a
// program is built again. By how much is known from others that lead to the same place, or next to it: so they are foretold
// (addresses), and only what was foretold wrongly is a difference (Percival, "Naive differences of executable code", 2003,
// codes them all; Google's Courgette takes programs apart to know more).
//
// What is left is coded bit by bit, by how likely each bit is after what came before and beside the old bytes, which both
// sides have. Whether there is a difference hangs on what there was between the same bytes last, by way of a history of
// outcomes (an indirect context, as in the PAQ and ZPAQ compressors). A difference that was seen in the same context before
// takes one bit. Of another one the new byte is coded, by the byte before it and by the old one: it tells more of code than
// the difference does. All of it is integer arithmetic, equal on every machine. docs/delta-format.md has the numbers.
package residual

const blockSize = 16 // differences that are looked at as one first

// model says how likely the next bit is 1, and learns what it was. Encoder and decoder have equal ones.
type model struct {
	addresses
	repeats
	blocks   [256]uint32
	outcomes [2][1 << 16]uint8 // whether there were differences, by the bytes beside, in addresses and elsewhere
	flags    [1 << 17]uint32   // for whether there is one
	before   [1 << 16]uint16   // for the bits of a new byte, by the one before
	instead  [1 << 16]uint16   // by the old one
	both     [1 << 10]uint16   // by what these two say
}

func newModel() *model {
	m := &model{}
	m.leading()
	m.repeats.start()
	fill(m.blocks[:], even)
	fill(m.outcomes[0][:], 1)
	fill(m.outcomes[1][:], 1)
	fill(m.flags[:], even)
	fill(m.before[:], half)
	fill(m.instead[:], half)
	fill(m.both[:], half)
	return m
}

const half = 1 << 15 // a probability of 65536

// toward moves a probability towards a bit.
func toward(p *uint16, bit uint32, shift uint) {
	v := int32(*p)
	*p = uint16(v + (int32(bit)*65535-v)>>shift)
}

const (
	slowly = 6 // of both
	fast   = 4 // of before and instead
)

// followed is a history of at most five outcomes, below a leading 1, with one more.
func followed(history uint8, bit uint32) uint8 {
	h := uint32(history)<<1 | bit
	if h >= 64 {
		h = h&31 | 32
	}
	return uint8(h)
}

// window is what came before a difference.
type window struct {
	hist  uint32 // which of the last differences are not 0: the last is bit 0
	diffs uint32 // the last four differences: the last is the lowest byte
}

// next moves the window behind a difference.
func (w *window) next(d byte) {
	w.hist <<= 1
	if d != 0 {
		w.hist |= 1
	}
	w.diffs = w.diffs<<8 | uint32(d)
}

// spot is what lies beside a difference.
type spot struct {
	front uint32 // the four old bytes from the current one on, that is the lowest; only this one at the end
	back  uint32 // the two new bytes before, the last is the lowest; 0 at the start
	field uint32 // which byte of an address it is, from 1 on; 0 for none
	d     byte   // the difference, when it is known
}

// flag gives the history of whether there were differences beside the same bytes, and the slot of whether there is one.
func (m *model) flag(hist, before, old, field uint32) (*uint8, *uint32) {
	h := &m.outcomes[min(field, 1)&1][uint16(before<<8|old)]
	return h, &m.flags[(uint32(*h)|(hist&255)<<6|field<<14)&(1<<17-1)]
}
