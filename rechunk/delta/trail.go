package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/strata-oci/strata/rechunk/delta/match"
	"github.com/strata-oci/strata/rechunk/delta/residual"
)

// cursor is where the next bytes of a source come from, and what their differences are coded by.
type cursor struct {
	source ref
	at     int64
	place  residual.Place // but for At
}

// use carries out an operation that makes a source the current one, the so-manyth of the delta.
func (c *cursor) use(f *fields, op byte, n uint32) {
	*c = cursor{source: ref(f.uint("a source", 1<<40)), place: residual.Place{Source: n}}
	if op == opUseCode {
		c.place.Machine = residual.Machine(f.uint("a machine", int64(residual.AArch64)))
	}
}

// where is the place of the next bytes.
func (c *cursor) where() residual.Place {
	p := c.place
	p.At = c.at
	return p
}

// trail follows the operations that are written, as an applier does: as far as the code of differences depends on them, and
// so that nothing is written that would not be applied.
type trail struct {
	enc    *residual.Encoder
	work   work
	recent recent // files of the seed
	slots  map[int]bool
	kept   map[int]bool // whether they are done
	uses   uint32
	stack  []step
	ended  bool
}

// step is the tar stream or a part that is being made.
type step struct {
	cursor cursor
	begun  begun
	made   int64
}

func newTrail(h *Header) *trail {
	w := newWork(h, Limits{}.OrDefault())
	return &trail{
		enc: residual.NewEncoder(), work: w, slots: map[int]bool{}, kept: map[int]bool{},
		stack: []step{{cursor: cursor{source: noRef}, begun: begun{size: h.TarSize}}},
	}
}

// follow encodes the differences of some operations. Operations that would not be applied are a mistake of who made them,
// unless a limit stands in the way: ErrLimit.
func (t *trail) follow(ops, old, diff []byte) error {
	if err := t.work.batch(len(ops)); err != nil {
		return err
	}
	f := &fields{b: ops}
	for len(f.b) > 0 && f.err == nil {
		op := f.b[0]
		f.b = f.b[1:]
		l := &t.stack[len(t.stack)-1]
		var err error
		switch op {
		case opUse, opUseCode:
			t.uses++
			l.cursor.use(f, op, t.uses)
		case opSeek:
			l.cursor.at += f.int("a distance")
		case opCopy:
			err = t.read(l, f.uint("a length", 1<<62))
		case opAdd:
			n := f.uint("a length", int64(min(len(old), len(diff))))
			t.enc.Add(l.cursor.where(), old[:n], diff[:n])
			old, diff = old[n:], diff[n:]
			err = t.read(l, n)
		case opNew, opBetween:
			t.add(l, f.uint("a length", 1<<62))
		default:
			err = t.other(op, f)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// end says whether all is there.
func (t *trail) end() error {
	if l := t.stack[0]; !t.ended || len(t.stack) > 1 || l.made != l.begun.size {
		return wrongly("the tar stream ends after %d bytes of %d, %d deep", l.made, l.begun.size, len(t.stack))
	}
	return nil
}

// wrongly is a mistake of what makes deltas.
func wrongly(format string, args ...any) error {
	return fmt.Errorf("operations that can't be carried out: "+format, args...)
}

// add takes note of bytes that are made.
func (t *trail) add(l *step, n int64) {
	l.made += n
	t.work.made += n
	l.cursor.place.Made += n
}

// read takes note of bytes that are made of the current source.
func (t *trail) read(l *step, n int64) error {
	err := t.get(l.cursor.source)
	l.cursor.at += n
	t.add(l, n)
	return err
}

// get takes note of a source that is read.
func (t *trail) get(r ref) error {
	switch n := r.number(); {
	case r >= 0 && r.kind() == 0 && n < t.work.sources:
		if fresh, _ := t.recent.touch(n); fresh {
			return t.work.open()
		}
		return nil
	case r.kind() == 1 && t.slots[n], r.kind() == 2 && t.kept[n]:
		return nil
	}
	return wrongly("source %d is not there", r)
}

// other follows operations that have to do with parts.
func (t *trail) other(op byte, f *fields) error {
	switch op {
	case opEnd:
		t.ended = true
	case opPart:
		return t.part(f)
	case opBegin:
		b := f.begun()
		if _, ok := t.kept[b.kept]; ok {
			return wrongly("there are two kept parts %d", b.kept)
		}
		if b.kept >= 0 {
			t.kept[b.kept] = false
		}
		t.stack = append(t.stack, step{cursor: cursor{source: noRef}, begun: b})
		return t.work.begin(b, len(t.stack)-1)
	case opDone:
		last := len(t.stack) - 1
		l := t.stack[last]
		if last == 0 || l.made != l.begun.size {
			return wrongly("a part is done after %d bytes of %d", l.made, l.begun.size)
		}
		t.stack = t.stack[:last]
		t.add(&t.stack[last-1], l.begun.wrapped)
		if l.begun.kept >= 0 {
			t.kept[l.begun.kept] = true
		}
	case opDrop:
		delete(t.slots, int(f.uint("a slot", 1<<40)))
	}
	return nil
}

// part takes note of a slot that is filled.
func (t *trail) part(f *fields) error {
	slot, source := int(f.uint("a slot", 1<<40)), ref(f.uint("a source", 1<<40))
	_, length := f.uint("an offset", 1<<62), f.uint("a length", 1<<62)
	_, size := f.uint("a decoder", 1<<62), f.uint("a size", 1<<62)
	if err := t.get(source); err != nil {
		return err
	}
	if t.slots[slot] {
		return wrongly("slot %d is taken", slot)
	}
	t.slots[slot] = true
	return t.work.unwrap(length, size)
}

// machine is that of a program for which the code of differences knows what addresses look like, by its ELF header.
func machine(data match.Source) (residual.Machine, error) {
	var head [20]byte
	if data.Size() < 4096 {
		return residual.None, nil
	}
	if n, err := data.ReadAt(head[:], 0); n < len(head) {
		return residual.None, fmt.Errorf("read a content: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	if string(head[:6]) != "\x7fELF\x02\x01" { // 64 bits, little-endian
		return residual.None, nil
	}
	switch binary.LittleEndian.Uint16(head[18:]) {
	case 62:
		return residual.X8664, nil
	case 183:
		return residual.AArch64, nil
	}
	return residual.None, nil
}
