package zstdtokens

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxSequences is how many a block's header can tell of.
const maxSequences = 0x7f00 + 0xffff

// Encode writes the frame whose tokens src holds to its end. Tokens may come from anybody: memory is that of a block. Errors
// that are not those of src and dst wrap ErrInvalid.
func Encode(src io.Reader, dst io.Writer) error {
	r := &reader{r: bufio.NewReaderSize(src, 64<<10)}
	head := r.bytes(nil, int(r.u8()))
	if r.err != nil || len(head) < 5 {
		return r.failed("a frame header")
	}
	n, checksum, ok := headerLength(head)
	if !ok || n != len(head) {
		return r.failed("a frame header")
	}
	if _, err := dst.Write(head); err != nil {
		return err
	}
	c, out := newCoder(), []byte(nil)
	for last := false; !last; {
		var err error
		if out, err = c.frameBlock(r, out[:0]); err != nil {
			return err
		}
		last = out[0]&1 != 0
		if _, err := dst.Write(out); err != nil {
			return err
		}
	}
	if checksum {
		out = r.bytes(out[:0], 4)
		if r.err != nil {
			return r.failed("a checksum")
		}
		if _, err := dst.Write(out); err != nil {
			return err
		}
	}
	if _, err := r.r.ReadByte(); err == nil {
		return fmt.Errorf("%w: something follows the frame", ErrInvalid)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// frameBlock appends the block that r has the tokens of, with its header.
func (c *coder) frameBlock(r *reader, out []byte) ([]byte, error) {
	first := r.u8()
	out = append(out, 0, 0, 0)
	size := 0
	switch first >> 1 {
	case rawBlock:
		size = r.u24(maxBlock)
		out = r.bytes(out, size)
	case sameBlock:
		size = r.u24(1<<21 - 1)
		out = append(out, r.u8())
	case codedBlock:
		r.block(&c.b)
		if r.err != nil {
			return nil, r.failed("a block")
		}
		var err error
		if out, err = c.write(out); err != nil {
			return nil, err
		}
		size = len(out) - 3
	default:
		return nil, r.failed("a block's type")
	}
	if r.err != nil || size >= 1<<21 {
		return nil, r.failed("a block")
	}
	out[0], out[1], out[2] = byte(size<<3)|first&7, byte(size>>5), byte(size>>13)
	return out, nil
}

// reader reads tokens. After an error everything is zero.
type reader struct {
	r   *bufio.Reader
	err error
}

// failed returns the error of reading, or ErrInvalid.
func (r *reader) failed(what string) error {
	if r.err != nil && !errors.Is(r.err, io.EOF) && !errors.Is(r.err, io.ErrUnexpectedEOF) {
		return r.err
	}
	return fmt.Errorf("%w: %s", ErrInvalid, what)
}

func (r *reader) u8() byte {
	if r.err != nil {
		return 0
	}
	b, err := r.r.ReadByte()
	r.err = err
	return b
}

// number reads n bytes.
func (r *reader) number(n int) uint32 {
	var v uint32
	for i := range n {
		v |= uint32(r.u8()) << (8 * i)
	}
	return v
}

// u24 reads three bytes that are at most what is said.
func (r *reader) u24(most int) int {
	n := int(r.number(3))
	if n > most {
		r.err = ErrInvalid
		return 0
	}
	return n
}

// bytes appends n ≤ maxBlock bytes.
func (r *reader) bytes(out []byte, n int) []byte {
	if r.err != nil {
		return out
	}
	at := len(out)
	out = append(out, make([]byte, n)...)
	_, r.err = io.ReadFull(r.r, out[at:])
	return out
}

func (r *reader) length() uint32 {
	if n := r.u8(); n < 255 {
		return uint32(n)
	}
	return r.number(3)
}

// block reads the tokens of a compressed block, behind its first byte.
func (r *reader) block(b *block) {
	first := r.u8()
	b.kind, b.sizes = first&3, first>>2&3
	b.tree, b.literals, b.seq = b.tree[:0], b.literals[:0], b.seq[:0]
	size := r.u24(maxBlock)
	if b.kind == treeLiterals {
		b.tree = r.bytes(b.tree, int(r.u8()))
	}
	n := r.u24(maxSequences)
	if n > 0 {
		b.modes = r.u8()
		for kind := range kinds {
			b.tables[kind] = b.tables[kind][:0]
			if b.described(kind) {
				b.tables[kind] = r.bytes(b.tables[kind], int(r.u8()))
			}
		}
		for kind := range kinds {
			b.last[kind] = uint16(r.number(2)) //nolint:gosec // two bytes
		}
	}
	left := size
	if b.kind == sameLiterals {
		b.literals, left = append(b.literals, bytes.Repeat([]byte{r.u8()}, size)...), 0
	}
	for range n {
		var s sequence
		s.literals = r.length()
		if b.kind != sameLiterals {
			if int(s.literals) > left {
				r.err = ErrInvalid
			}
			left -= int(s.literals)
			b.literals = r.bytes(b.literals, int(s.literals))
		}
		s.match = r.length()
		s.offset = r.number(4)
		if r.err != nil {
			return
		}
		b.seq = append(b.seq, s)
	}
	b.literals = r.bytes(b.literals, left)
}
