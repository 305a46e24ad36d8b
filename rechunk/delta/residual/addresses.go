package residual

import "encoding/binary"

// Machine says what addresses in old bytes look like. Unknown ones are taken for None.
type Machine byte

// The machines whose addresses are known.
const (
	None    Machine = iota // nothing is an address
	X8664                  // x86-64
	AArch64                // 64-bit ARM
)

// Place is where old bytes lie.
type Place struct {
	// Source tells old contents apart.
	Source uint32
	// At is where in the content the old bytes begin. Made is where in the new one those begin that they become, counted
	// from any place, as long as it is the same for all of one Source.
	At, Made int64
	Machine  Machine
}

// addresses knows by how much targets of addresses have moved. What was learned last of a target counts, or of what is next
// to it.
type addresses struct {
	exact [1 << exactBits]moved
	near  [1 << nearBits]moved
	far   [1 << farBits]moved
	leads [256]bool // bytes that may lie before an address in code for x86-64
}

// leading fills leads.
func (a *addresses) leading() {
	for b := range a.leads {
		a.leads[b] = b == 0xe8 || b == 0xe9 || b&0xc7 == 0x05 || b&0xf0 == 0x80
	}
}

const (
	exactBits, nearBits, farBits    = 15, 14, 12
	exactShift, nearShift, farShift = 0, 6, 11

	farthest = 1 << 28 // from a content's start that an address may lead
	least    = 0x1000  // number that is taken for an address
	most     = 1 << 26 // that a target may have moved
)

// moved is by how much a target, of which it has the key, has moved.
type moved struct {
	key uint32
	by  int32
}

// key is a target's, rounded. No key is 0.
func key(source, target uint32, shift uint) uint32 {
	return ((target>>shift)*0x9e3779b1 ^ source*0x85ebca6b) | 1
}

// guess says by how much a target has moved, or other when nothing is known of it.
func (a *addresses) guess(source, target uint32, other int32) int32 {
	k := key(source, target, exactShift)
	if e := &a.exact[k>>(32-exactBits)]; e.key == k {
		return e.by
	}
	k = key(source, target, nearShift)
	if e := &a.near[k>>(32-nearBits)]; e.key == k {
		return e.by
	}
	k = key(source, target, farShift)
	if e := &a.far[k>>(32-farBits)]; e.key == k {
		return e.by
	}
	return other
}

// learn takes note of how far a target has moved.
func (a *addresses) learn(source, target uint32, by int32) {
	k := key(source, target, exactShift)
	a.exact[k>>(32-exactBits)] = moved{k, by}
	a.around(source, target, by)
}

// around takes note of how far what lies next to a target has moved.
func (a *addresses) around(source, target uint32, by int32) {
	k := key(source, target, nearShift)
	a.near[k>>(32-nearBits)] = moved{k, by}
	k = key(source, target, farShift)
	a.far[k>>(32-farBits)] = moved{k, by}
}

// field is an address among old bytes.
type field struct {
	end    int // behind it; 0 for none
	old    uint32
	target uint32
	own    int32  // by how much what the address counts from has moved
	mask   uint32 // the bits of it that are not the address: of an instruction
	unit   uint   // what the address counts, by its logarithm
}

// run follows the addresses in a run of old bytes, which become new ones one after another.
type run struct {
	*addresses
	p     Place
	b     []byte
	by    int32
	field field
}

func (a *addresses) run(p Place, b []byte) run {
	r := run{addresses: a, p: p, b: b, by: int32(p.Made - p.At)}
	if p.Machine == None {
		return r
	}
	// Places are known by their low 32 bits; a run may cross where these begin anew.
	first := int64(uint32(p.At))
	for at := first &^ 63; at < first+int64(len(b)); at += 64 {
		a.around(p.Source, uint32(at), r.by)
	}
	return r
}

// may reports whether next has something to do at i.
func (r *run) may(i int) bool {
	if i < r.field.end {
		return false
	}
	switch r.p.Machine {
	case X8664:
		return i > 0 && r.leads[r.b[i-1]] || (uint32(r.p.At)+uint32(i))&7 == 0
	case AArch64:
		return (uint32(r.p.At)+uint32(i))&3 == 0
	}
	return false
}

// pass looks for addresses in bytes without differences.
func (r *run) pass(i, end int) {
	if r.p.Machine == None {
		return
	}
	for ; i < end; i++ {
		if r.may(i) {
			r.next(i)
		}
	}
}

// next looks for an address that begins at i, and puts there what it should be. What is before is new already.
func (r *run) next(i int) {
	if r.field.end > 0 {
		r.settle()
	}
	if i+4 > len(r.b) {
		return
	}
	found := false
	switch r.p.Machine {
	case X8664:
		found = r.relative(i) || r.absolute(i)
	case AArch64:
		found = r.instruction(i) || r.absolute(i)
	}
	if !found {
		return
	}
	f := &r.field
	f.end = i + 4
	by := r.guess(r.p.Source, f.target, f.own)
	binary.LittleEndian.PutUint32(r.b[i:], f.old&f.mask|(f.old+uint32((by-f.own)>>f.unit))&^f.mask)
}

// relative finds an address of x86-64 that counts from its end: of a call, a jump, or a datum.
func (r *run) relative(i int) bool {
	if i < 2 {
		return false
	}
	before, last := r.b[i-2], r.b[i-1]
	if last != 0xe8 && last != 0xe9 && last&0xc7 != 0x05 && (before != 0x0f || last&0xf0 != 0x80) {
		return false
	}
	old := binary.LittleEndian.Uint32(r.b[i:])
	target := uint32(r.p.At) + uint32(i) + 4 + old
	r.field = field{old: old, target: target, own: r.by}
	return target < farthest
}

// instruction finds an address of AArch64 in an instruction that calls or jumps.
func (r *run) instruction(i int) bool {
	at := uint32(r.p.At) + uint32(i)
	if at&3 != 0 {
		return false
	}
	old := binary.LittleEndian.Uint32(r.b[i:])
	if old&0x7c000000 != 0x14000000 {
		return false
	}
	target := at + uint32(int32(old<<6)>>4)
	r.field = field{old: old, target: target, own: r.by, mask: 0xfc000000, unit: 2}
	return target < farthest
}

// absolute finds an address of eight bytes.
func (r *run) absolute(i int) bool {
	if (uint32(r.p.At)+uint32(i))&7 != 0 || i+8 > len(r.b) {
		return false
	}
	v := binary.LittleEndian.Uint64(r.b[i:])
	r.field = field{old: uint32(v), target: uint32(v)}
	return v >= least && v < farthest
}

// settle learns what the last address has become.
func (r *run) settle() {
	f := &r.field
	is := binary.LittleEndian.Uint32(r.b[f.end-4:])
	by := int32((is-f.old)<<f.unit) + f.own
	if (is^f.old)&f.mask == 0 && by < most && by > -most {
		r.learn(r.p.Source, f.target, by)
	}
	f.end = 0
}

// end learns the last address of the run.
func (r *run) end() {
	if r.field.end > 0 {
		r.settle()
	}
}

// spot is what lies beside the difference at i.
func (r *run) spot(i int) (s spot) {
	s.front = uint32(r.b[i])
	if i+4 <= len(r.b) {
		s.front = binary.LittleEndian.Uint32(r.b[i:])
	}
	if i >= 2 {
		s.back = uint32(r.b[i-1]) | uint32(r.b[i-2])<<8
	}
	if r.field.end > i {
		s.field = uint32(i - r.field.end + 5)
	}
	return s
}
