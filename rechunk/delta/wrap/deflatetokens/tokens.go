// Package deflatetokens undoes only the entropy coding of deflate streams (RFC 1951), and does it again, bit for bit.
//
// Which bytes are literals, which are matches, where blocks begin and with which codes they are written is what encoders do
// in their own ways; the rest is fixed by the format. So all of that in order, the tokens, makes the stream again whoever
// made it. And where two files are alike, so are their tokens, wherever they lie: distances of matches are relative.
// docs/formats.md has the tokens byte by byte.
package deflatetokens

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Version is that of the tokens.
const Version = "1"

// ErrInvalid says that bytes are no stream that can be made again, or no tokens of one.
var ErrInvalid = errors.New("not a stream of deflate tokens")

// Types of blocks.
const (
	storedBlock = iota
	fixedBlock
	dynamicBlock
)

// Distances that are none: behind literals comes no match, but the end of the block, or more literals.
const (
	noMatch = 0xffff
	more    = 0xfffe
)

// longest is how many literals come in one run.
const longest = 4096

// Decode writes the tokens of the deflate stream that src begins with; what follows it is not read. Memory is that of some
// literals. Errors that are not those of src and dst wrap ErrInvalid.
func Decode(src *bufio.Reader, dst io.Writer) error {
	out := bufio.NewWriterSize(dst, flushed)
	d := decoder{reader: reader{src: src}, out: out, alphabets: newAlphabets()}
	for last := false; !last; {
		head := d.bits(3)
		last = head&1 != 0
		if d.err != nil {
			return d.failed("a block")
		}
		d.u8(head)
		if err := d.block(head >> 1); err != nil {
			return err
		}
	}
	d.u8(d.align())
	if d.err != nil {
		return d.failed("the end")
	}
	return out.Flush()
}

// decoder turns bits into tokens. Errors of out stay there, and come with Flush; what is decoded meanwhile is bounded by a
// block's run of literals.
type decoder struct {
	reader
	alphabets
	out      *bufio.Writer
	literals []byte
}

func (d *decoder) u8(v int)  { _ = d.out.WriteByte(byte(v)) }
func (d *decoder) u16(v int) { d.u8(v); d.u8(v >> 8) }

// block undoes a block of a type.
func (d *decoder) block(kind int) error {
	switch kind {
	case storedBlock:
		return d.stored()
	case fixedBlock:
		literals, distances := fixed()
		return d.symbols(literals, distances)
	case dynamicBlock:
		var h dynamic
		if !d.describe(&h) {
			return d.failed("a description of codes")
		}
		literals, distances, ok := h.codes()
		if !ok {
			return d.failed("codes")
		}
		d.u8(h.literals - 257)
		d.u8(h.distances - 1)
		d.u8(len(h.code))
		_, _ = d.out.Write(h.code)
		for _, s := range h.symbols {
			d.u8(int(s.value))
			if s.value >= 16 {
				d.u8(int(s.extra))
			}
		}
		return d.symbols(literals, distances)
	}
	return d.failed("a block's type")
}

func (d *decoder) stored() error {
	d.u8(d.align())
	n := d.bits(16)
	if m := d.bits(16); d.err != nil || n^m != 0xffff {
		return d.failed("a stored block")
	}
	d.u16(n)
	for range n {
		d.u8(d.bits(8))
	}
	if d.err != nil {
		return d.failed("a stored block")
	}
	return nil
}

// describe reads the description of codes.
func (d *decoder) describe(h *dynamic) bool {
	h.literals, h.distances = d.bits(5)+257, d.bits(5)+1
	for range d.bits(4) + 4 {
		h.code = append(h.code, uint8(d.bits(3))) //nolint:gosec // three bits
	}
	meta, ok := h.meta()
	if !ok || d.err != nil || h.literals > 286 {
		return false
	}
	for !h.full() {
		s := d.symbol(meta)
		if s < 0 {
			return false
		}
		n, _ := repeats(s)
		h.add(symbol{uint8(s), uint8(d.bits(n))}) //nolint:gosec // at most 18, and seven bits
	}
	return d.err == nil
}

// symbols undoes what a block holds.
func (d *decoder) symbols(literals, distances *code) error {
	d.literals = d.literals[:0]
	for {
		s := d.symbol(literals)
		switch {
		case s < 0 || s > firstLength+len(lengthBits)-1:
			return d.failed("a literal")
		case s < endOfBlock:
			if d.literals = append(d.literals, byte(s)); len(d.literals) == longest {
				if err := d.run(more); err != nil {
					return err
				}
			}
			continue
		case s == endOfBlock:
			return d.run(noMatch)
		}
		s -= firstLength
		length := d.lengths.base[s] + d.bits(int(lengthBits[s]))
		if length == 258-leastMatch && s != len(lengthBits)-1 {
			return d.failed("a length that has another code")
		}
		k := d.symbol(distances)
		if k < 0 || k >= len(distanceBits) {
			return d.failed("a distance")
		}
		distance := d.alphabets.distances.base[k] + d.bits(int(distanceBits[k]))
		if d.err != nil {
			return d.failed("a match")
		}
		if err := d.run(distance); err != nil {
			return err
		}
		d.u8(length)
	}
}

// run writes the literals so far, and the distance of the match behind them.
func (d *decoder) run(distance int) error {
	n := len(d.literals)
	if n < 255 {
		d.u8(n)
	} else {
		d.u8(255)
		d.u16(n)
	}
	_, err := d.out.Write(d.literals)
	d.u16(distance)
	d.literals = d.literals[:0]
	return err
}

// gzipHeader reads the header of a member (RFC 1952, 2.3).
func gzipHeader(src *bufio.Reader) ([]byte, error) {
	head := make([]byte, 10)
	if _, err := io.ReadFull(src, head); err != nil {
		return nil, failed(err, "a header")
	}
	if !bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}) || head[3]&0xe0 != 0 {
		return nil, failed(nil, "a header")
	}
	flags := head[3]
	if flags&4 != 0 {
		n := make([]byte, 2)
		if _, err := io.ReadFull(src, n); err != nil {
			return nil, failed(err, "a header")
		}
		extra := make([]byte, int(n[0])|int(n[1])<<8)
		if _, err := io.ReadFull(src, extra); err != nil {
			return nil, failed(err, "a header")
		}
		head = append(append(head, n...), extra...)
	}
	for _, text := range []byte{8, 16} {
		for flags&text != 0 {
			b, err := src.ReadByte()
			if err != nil || len(head) > maxHeader {
				return nil, failed(err, "a header")
			}
			if head = append(head, b); b == 0 {
				break
			}
		}
	}
	if flags&2 != 0 {
		var sum [2]byte
		if _, err := io.ReadFull(src, sum[:]); err != nil {
			return nil, failed(err, "a header")
		}
		head = append(head, sum[:]...)
	}
	return head, nil
}

// maxHeader is how long a gzip header may be.
const maxHeader = 70 << 10

// DecodeGzip is Decode of a gzip member, whose header and trailer stay as they are.
func DecodeGzip(src *bufio.Reader, dst io.Writer) error {
	head, err := gzipHeader(src)
	if err != nil {
		return err
	}
	n := len(head)
	if _, err := dst.Write(append([]byte{byte(n), byte(n >> 8), byte(n >> 16)}, head...)); err != nil {
		return err
	}
	if err := Decode(src, dst); err != nil {
		return err
	}
	trailer := make([]byte, 8)
	if _, err := io.ReadFull(src, trailer); err != nil {
		return failed(err, "a trailer")
	}
	_, err = dst.Write(trailer)
	return err
}
