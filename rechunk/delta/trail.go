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

// trail follows the operations that are written, as an applier does, as far as the code of differences depends on them.
type trail struct {
	enc   *residual.Encoder
	uses  uint32
	stack []step
}

// step is the tar stream or a part that is being made.
type step struct {
	cursor  cursor
	wrapped int64 // length of what goes to the level above
}

func newTrail() trail {
	return trail{enc: residual.NewEncoder(), stack: []step{{cursor: cursor{source: noRef}}}}
}

// follow encodes the differences of some operations.
func (t *trail) follow(ops, old, diff []byte) error {
	f := &fields{b: ops}
	for len(f.b) > 0 {
		op := f.b[0]
		f.b = f.b[1:]
		c := &t.stack[len(t.stack)-1].cursor
		switch op {
		case opUse, opUseCode:
			t.uses++
			c.use(f, op, t.uses)
		case opSeek:
			c.at += f.int("a distance")
		case opCopy:
			c.move(f.uint("a length", 1<<62))
		case opAdd:
			n := f.uint("a length", int64(min(len(old), len(diff))))
			t.enc.Add(c.where(), old[:n], diff[:n])
			old, diff = old[n:], diff[n:]
			c.move(n)
		case opNew, opBetween:
			c.place.Made += f.uint("a length", 1<<62)
		default:
			t.other(op, f)
		}
	}
	return f.err
}

// move moves the cursor behind bytes that became new ones.
func (c *cursor) move(n int64) {
	c.at += n
	c.place.Made += n
}

// other follows operations that have to do with parts.
func (t *trail) other(op byte, f *fields) {
	switch op {
	case opPart:
		for range 6 {
			f.uint("a field of a part", 1<<62)
		}
	case opBegin:
		b := f.begun()
		t.stack = append(t.stack, step{cursor: cursor{source: noRef}, wrapped: b.wrapped})
	case opDone:
		last := len(t.stack) - 1
		t.stack[last-1].cursor.place.Made += t.stack[last].wrapped
		t.stack = t.stack[:last]
	case opDrop:
		f.uint("a slot", 1<<40)
	}
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
