package delta

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/strata-oci/strata/rechunk/delta/residual"
)

// script writes the operations of one item, in chunks that fit into a batch.
type script struct {
	c      chunk
	out    func(chunk) error
	cursor cursor
	outer  []cursor // of the parts that are begun
	// machine is that of the code that is made, for sources that are used from now on.
	machine residual.Machine

	seconds  float64 // that encoders take
	programs []Program
}

// pieceMost is how much one operation takes of a stream, so that a chunk stays small.
const pieceMost = 64 << 10

func newScript(item int, out func(chunk) error) *script {
	return &script{c: chunk{item: item}, out: out, cursor: cursor{source: noRef}}
}

func (s *script) op(op byte, fields ...int64) {
	b := append(s.c.data[operations], op)
	for _, v := range fields {
		b = binary.AppendUvarint(b, uint64(v))
	}
	s.c.data[operations] = b
}

// spill hands on what there is when it is enough.
func (s *script) spill() error {
	if len(s.c.data[operations]) < 32<<10 &&
		len(s.c.data[differences])+len(s.c.data[literals])+len(s.c.data[between]) < pieceMost {
		return nil
	}
	return s.flush()
}

func (s *script) flush() error {
	if len(s.c.data[operations]) == 0 {
		return nil
	}
	c := s.c
	s.c = chunk{item: c.item}
	return s.out(c)
}

// from makes bytes of a source the next ones.
func (s *script) from(source ref, at int64) {
	if s.cursor.source != source {
		if s.machine == residual.None {
			s.op(opUse, int64(source))
		} else {
			s.op(opUseCode, int64(source), int64(s.machine))
		}
		s.cursor = cursor{source: source}
	}
	if d := at - s.cursor.at; d != 0 {
		s.c.data[operations] = binary.AppendVarint(append(s.c.data[operations], opSeek), d)
		s.cursor.at = at
	}
}

// copy makes n bytes of a source.
func (s *script) copy(source ref, at, n int64) error {
	s.from(source, at)
	s.op(opCopy, n)
	s.cursor.at += n
	s.c.output += n
	return s.spill()
}

// add makes bytes of a source's and differences.
func (s *script) add(source ref, at int64, old, diff []byte) error {
	for len(diff) > 0 {
		n := min(len(diff), residual.MaxRun)
		s.from(source, at)
		s.op(opAdd, int64(n))
		s.cursor.at += int64(n)
		s.c.output += int64(n)
		s.c.data[differences] = append(s.c.data[differences], diff[:n]...)
		s.c.old = append(s.c.old, old[:n]...)
		old, diff, at = old[n:], diff[n:], at+int64(n)
		if err := s.spill(); err != nil {
			return err
		}
	}
	return nil
}

// data makes bytes of a stream.
func (s *script) bytes(op byte, stream int, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), pieceMost)
		s.op(op, int64(n))
		s.c.output += int64(n)
		s.c.data[stream] = append(s.c.data[stream], b[:n]...)
		b = b[n:]
		if err := s.spill(); err != nil {
			return err
		}
	}
	return nil
}

// part puts a run of a source into a slot.
func (s *script) part(slot int, source ref, at, n int64, decoder int, size int64) {
	s.op(opPart, int64(slot), int64(source), at, n, int64(decoder), size)
}

// begin begins a part. Without an encoder it is as it is; a number kept of -1 says that it is not kept.
func (s *script) begin(e *Encoder, kept int, size, wrapped int64, check []byte) {
	var flags int64
	if kept >= 0 {
		flags |= flagKeep
	}
	if e != nil {
		flags |= flagEncoder
	}
	s.op(opBegin, flags, size)
	b := s.c.data[operations]
	if kept >= 0 {
		b = binary.AppendUvarint(b, uint64(kept))
	}
	if e != nil {
		b = binary.AppendUvarint(appendString(appendString(b, e.Program), e.Version), uint64(len(e.Args)))
		for _, a := range e.Args {
			b = appendString(b, a)
		}
		b = append(binary.AppendUvarint(b, uint64(wrapped)), check[:checkBytes]...)
		s.programs = append(s.programs, Program{Name: e.Program, Version: e.Version})
	}
	s.c.data[operations] = b
	s.outer = append(s.outer, s.cursor)
	s.cursor = cursor{source: noRef}
}

func (s *script) done() {
	s.op(opDone)
	last := len(s.outer) - 1
	s.cursor, s.outer = s.outer[last], s.outer[:last]
}

// merge puts the operations of a hole behind what was written. Those of a part leave the cursor as it is; after others, the
// next source must be named.
func (s *script) merge(h *hole) error {
	if err := s.flush(); err != nil {
		return err
	}
	for _, c := range h.chunks {
		c.item = s.c.item
		if err := s.out(c); err != nil {
			return err
		}
	}
	s.seconds += h.script.seconds
	for _, p := range h.script.programs {
		if !slices.Contains(s.programs, p) {
			s.programs = append(s.programs, p)
		}
	}
	return nil
}

// end hands on the rest, when every part is done.
func (s *script) end() error {
	if len(s.outer) > 0 {
		return fmt.Errorf("%w: %d parts are not done", ErrInvalid, len(s.outer))
	}
	return s.flush()
}
