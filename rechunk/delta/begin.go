package delta

import (
	"bytes"
	"context"
	"fmt"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// encoder reads the fields of an encoder.
func (f *fields) encoder() Encoder {
	e := Encoder{Program: f.string("a program", maxName), Version: f.string("a version", maxName)}
	for range f.uint("the number of arguments", maxArgs) {
		e.Args = append(e.Args, f.string("an argument", maxName))
	}
	return e
}

// unwrap carries out the operation part.
func (a *applier) unwrap(ctx context.Context, f *fields) error {
	slot, source := int(f.uint("a slot", 1<<40)), ref(f.uint("a source", 1<<40))
	at, length := f.uint("an offset", 1<<62), f.uint("a length", 1<<62)
	decoder := f.uint("a decoder", int64(len(decoders)-1))
	size := f.uint("a size", 1<<62)
	if f.err == nil && decoder == 0 {
		f.fail("a part has no decoder")
	}
	if f.err != nil {
		return f.err
	}
	return a.sources.unwrap(ctx, slot, source, at, length, decoders[decoder], size)
}

// begun is what the operation begin says.
type begun struct {
	size, wrapped int64
	kept          int // -1 for none
	encoder       *Encoder
	check         []byte
}

// begun reads the fields of the operation begin.
func (f *fields) begun() begun {
	flags := f.uint("flags", flagsAll)
	size := f.uint("a size", 1<<62)
	b := begun{size: size, wrapped: size, kept: -1}
	if flags&flagKeep != 0 {
		b.kept = int(f.uint("the number of a kept part", 1<<40))
	}
	if flags&flagEncoder != 0 {
		e := f.encoder()
		b.encoder = &e
		b.wrapped = f.uint("a wrapped length", 1<<62)
		b.check = bytes.Clone(f.bytes("a check", checkBytes))
	}
	return b
}

// begin carries out the operation begin.
func (a *applier) begin(l *level, f *fields) error {
	b := f.begun()
	p := &part{kept: b.kept, wrapped: b.wrapped, encoder: b.encoder, check: b.check, memory: a.memory}
	a.wrapping = a.wrapping || b.encoder != nil
	switch {
	case f.err != nil:
		return f.err
	case p.wrapped > l.left:
		return fmt.Errorf("%w: a part is longer than what it is in", ErrInvalid)
	case p.encoder != nil && p.encoder.Program != wrap.ProgramStrata && !wrap.Compatible(*p.encoder, a.d.header.Programs):
		return fmt.Errorf("%w: %s is no program of the header", ErrInvalid, p.encoder)
	}
	if err := a.work.begin(b, len(a.levels)); err != nil {
		return err
	}
	if err := a.sources.promise(p.kept); err != nil {
		return err
	}
	a.levels = append(a.levels, &level{left: b.size, cursor: cursor{source: noRef}, sink: p, part: p})
	return nil
}

// done carries out the operation done.
func (a *applier) done(ctx context.Context, l *level) error {
	if l.part == nil || l.left > 0 {
		return fmt.Errorf("%w: a part is done too early", ErrInvalid)
	}
	a.levels = a.levels[:len(a.levels)-1]
	above := a.levels[len(a.levels)-1]
	above.left -= l.part.wrapped
	a.work.made += l.part.wrapped
	above.cursor.place.Made += l.part.wrapped
	users := 1
	if l.part.kept >= 0 {
		users = 2
	}
	r := a.pool.start(ctx, l.part, users)
	if l.part.kept >= 0 {
		a.sources.kept[l.part.kept] = r
	}
	return above.sink.place(r)
}
