package deflatetokens

import (
	"bufio"
	"errors"
	"io"
)

// Encode writes the deflate stream whose tokens src holds to its end. Tokens may come from anybody: memory is that of some
// literals. Errors that are not those of src and dst wrap ErrInvalid.
func Encode(src io.Reader, dst io.Writer) error {
	e := newEncoder(bufio.NewReaderSize(src, 64<<10), dst)
	if err := e.stream(); err != nil {
		return err
	}
	return e.end()
}

// EncodeGzip is Encode of a gzip member.
func EncodeGzip(src io.Reader, dst io.Writer) error {
	in := bufio.NewReaderSize(src, 64<<10)
	e := newEncoder(in, dst)
	n := e.u16() | e.u8()<<16
	if e.err != nil || n > maxHeader {
		return e.failed("a header")
	}
	e.copy(n)
	if err := e.stream(); err != nil {
		return err
	}
	e.copy(8)
	if e.err != nil {
		return e.failed("a trailer")
	}
	return e.end()
}

// encoder turns tokens into bits. After an error of src everything is zero.
type encoder struct {
	alphabets
	src *bufio.Reader
	w   writer
	err error
}

func newEncoder(src *bufio.Reader, dst io.Writer) *encoder {
	return &encoder{alphabets: newAlphabets(), src: src, w: writer{dst: dst}}
}

func (e *encoder) u8() int {
	if e.err != nil {
		return 0
	}
	b, err := e.src.ReadByte()
	e.err = err
	return int(b)
}

func (e *encoder) u16() int { return e.u8() | e.u8()<<8 }

// copy passes on n bytes as they are.
func (e *encoder) copy(n int) {
	for range n {
		if e.err != nil {
			return
		}
		e.w.bits(e.u8(), 8)
	}
}

// failed returns the error of dst or src, or ErrInvalid.
func (e *encoder) failed(what string) error {
	if e.w.err != nil {
		return e.w.err
	}
	return failed(e.err, what)
}

// end puts out what is left, if src has ended, too.
func (e *encoder) end() error {
	e.w.flush()
	if e.w.err != nil {
		return e.w.err
	}
	if _, err := e.src.ReadByte(); !errors.Is(err, io.EOF) {
		return failed(err, "something follows")
	}
	return nil
}

// stream writes blocks to the last one.
func (e *encoder) stream() error {
	for last := false; !last; {
		head := e.u8()
		last = head&1 != 0
		if e.err != nil || head > 5 {
			return e.failed("a block")
		}
		e.w.bits(head, 3)
		if err := e.block(head >> 1); err != nil {
			return err
		}
	}
	pad := e.u8()
	if e.err != nil || pad >= 1<<(-e.w.n&7) {
		return e.failed("the end")
	}
	e.w.align(pad)
	return nil
}

func (e *encoder) block(kind int) error {
	switch kind {
	case storedBlock:
		pad, n := e.u8(), e.u16()
		if e.err != nil || pad >= 1<<(-e.w.n&7) {
			return e.failed("a stored block")
		}
		e.w.align(pad)
		e.w.bits(n, 16)
		e.w.bits(^n, 16)
		if e.copy(n); e.err != nil {
			return e.failed("a stored block")
		}
		return nil
	case fixedBlock:
		literals, distances := fixed()
		return e.symbols(literals, distances)
	}
	literals, distances, ok := e.describe()
	if !ok {
		return e.failed("a description of codes")
	}
	return e.symbols(literals, distances)
}

// describe writes the description of codes, and makes them.
func (e *encoder) describe() (literals, distances *code, ok bool) {
	h := dynamic{literals: e.u8() + 257, distances: e.u8() + 1}
	n := e.u8()
	if e.err != nil || h.literals > 286 || h.distances > 32 || n < 4 || n > len(order) {
		return nil, nil, false
	}
	e.w.bits(h.literals-257, 5)
	e.w.bits(h.distances-1, 5)
	e.w.bits(n-4, 4)
	for range n {
		v := e.u8()
		if v > 7 {
			return nil, nil, false
		}
		h.code = append(h.code, uint8(v)) //nolint:gosec // three bits
		e.w.bits(v, 3)
	}
	meta, ok := h.meta()
	if !ok {
		return nil, nil, false
	}
	for !h.full() {
		s := symbol{value: uint8(e.u8())} //nolint:gosec // a byte
		width, _ := repeats(int(s.value))
		if width > 0 {
			s.extra = uint8(e.u8()) //nolint:gosec // a byte
		}
		if e.err != nil || int(s.extra) >= 1<<width || !meta.put(&e.w, int(s.value)) {
			return nil, nil, false
		}
		e.w.bits(int(s.extra), width)
		h.add(s)
	}
	return h.codes()
}

// symbols writes what a block holds.
func (e *encoder) symbols(literals, distances *code) error {
	for {
		n := e.u8()
		if n == 255 {
			n = e.u16()
		}
		for range n {
			if !literals.put(&e.w, e.u8()) || e.err != nil || e.w.err != nil {
				return e.failed("a literal")
			}
		}
		distance := e.u16()
		switch {
		case e.err != nil:
			return e.failed("a match")
		case distance == noMatch:
			literals.put(&e.w, endOfBlock)
			return e.w.err
		case distance == more:
			continue
		}
		length := e.u8()
		l, rest, width := e.lengths.code(length)
		d, far, wide := e.alphabets.distances.code(distance)
		if e.err != nil || distance >= 1<<15 || !literals.put(&e.w, firstLength+l) {
			return e.failed("a match")
		}
		e.w.bits(rest, width)
		if !distances.put(&e.w, d) {
			return e.failed("a distance")
		}
		e.w.bits(far, wide)
		if e.w.err != nil {
			return e.w.err
		}
	}
}
