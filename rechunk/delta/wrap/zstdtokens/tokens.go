// Package zstdtokens undoes only the entropy coding of zstd frames (RFC 8878), and does it again, bit for bit.
//
// What a zstd encoder decides is which bytes are literals, which are matches, and with which tables they are coded; all of
// them do it differently, from version to version. The rest is fixed by the format. So literals, matches and the
// descriptions of tables in order, the tokens, make the frame again whoever made it, without that encoder. And where two
// files are alike, so are their tokens, wherever they lie: offsets of matches are relative. Blocks and their tables
// interrupt them only.
//
// docs/formats.md has the tokens byte by byte. A frame is taken only if its blocks come out again as they were.
package zstdtokens

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Version is that of the tokens.
const Version = "1"

// ErrInvalid says that bytes are no zstd frame that can be made again, or no tokens of one.
var ErrInvalid = errors.New("not a frame of zstd tokens")

// Types of blocks.
const (
	rawBlock = iota
	sameBlock
	codedBlock
)

const magic = "\x28\xb5\x2f\xfd"

// headerLength returns how long a frame header is, by its first five bytes, and whether a checksum follows the blocks.
func headerLength(b []byte) (n int, checksum, ok bool) {
	flags := b[4]
	if string(b[:4]) != magic || flags&8 != 0 {
		return 0, false, false
	}
	single := int(flags >> 5 & 1)
	size := []int{single, 2, 4, 8}[flags>>6]
	return 5 + (1 - single) + []int{0, 1, 2, 4}[flags&3] + size, flags&4 != 0, true
}

// Decode writes the tokens of the one frame that src begins with; what follows it is not read. Memory is that of a block,
// whatever the frame's window is. Errors that are not those of src and dst wrap ErrInvalid.
func Decode(src *bufio.Reader, dst io.Writer) error {
	head := make([]byte, 5, 32)
	if err := fill(src, head); err != nil {
		return err
	}
	n, checksum, ok := headerLength(head)
	if !ok {
		return fmt.Errorf("%w: a frame header", ErrInvalid)
	}
	head = head[:n]
	if err := fill(src, head[5:]); err != nil {
		return err
	}
	if _, err := dst.Write(append([]byte{byte(n)}, head...)); err != nil {
		return err
	}
	d := decoder{coder: newCoder()}
	for last := false; !last; {
		tokens, err := d.block(src)
		if err != nil {
			return err
		}
		last = tokens[0]&1 != 0
		if _, err := dst.Write(tokens); err != nil {
			return err
		}
	}
	if !checksum {
		return nil
	}
	if err := fill(src, head[:4]); err != nil {
		return err
	}
	_, err := dst.Write(head[:4])
	return err
}

// decoder undoes blocks.
type decoder struct {
	*coder
	packed, again, tokens []byte // used again
}

// block returns the tokens of the block that comes next, until the next call.
func (d *decoder) block(src io.Reader) ([]byte, error) {
	var b [3]byte
	if err := fill(src, b[:]); err != nil {
		return nil, err
	}
	size, kind := int(b[0])>>3|int(b[1])<<5|int(b[2])<<13, b[0]>>1&3
	if kind > codedBlock || kind != sameBlock && size > maxBlock {
		return nil, fmt.Errorf("%w: a block header", ErrInvalid)
	}
	length := size
	if kind == sameBlock {
		length = 1
	}
	d.packed = append(d.packed[:0], make([]byte, length)...)
	if err := fill(src, d.packed); err != nil {
		return nil, err
	}
	d.tokens = append(d.tokens[:0], b[0]&7)
	if kind != codedBlock {
		d.tokens = append(u24(d.tokens, size), d.packed...)
		return d.tokens, nil
	}
	if err := d.read(d.packed); err != nil {
		return nil, err
	}
	var err error
	if d.again, err = d.write(d.again[:0]); err != nil || !bytes.Equal(d.again, d.packed) {
		return nil, fmt.Errorf("%w: a block that is coded in another way", ErrInvalid)
	}
	d.tokens = d.b.tokens(d.tokens)
	return d.tokens, nil
}

// fill reads all of b.
func fill(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it breaks off", ErrInvalid)
	}
	return err
}

func u24(out []byte, n int) []byte { return append(out, byte(n), byte(n>>8), byte(n>>16)) }

// length appends a length of literals or of a match.
func length(out []byte, n uint32) []byte {
	if n < 255 {
		return append(out, byte(n))
	}
	return append(out, 255, byte(n), byte(n>>8), byte(n>>16))
}

// tokens appends the tokens of a compressed block, behind its first byte.
func (b *block) tokens(out []byte) []byte {
	out = u24(append(out, b.kind|b.sizes<<2), len(b.literals))
	if b.kind == treeLiterals {
		out = append(append(out, byte(len(b.tree))), b.tree...)
	}
	out = u24(out, len(b.seq))
	if len(b.seq) > 0 {
		out = append(out, b.modes)
		for kind := range kinds {
			if b.described(kind) {
				out = append(append(out, byte(len(b.tables[kind]))), b.tables[kind]...)
			}
		}
		for _, state := range b.last {
			out = append(out, byte(state), byte(state>>8))
		}
	}
	literals := b.literals
	if b.kind == sameLiterals {
		out, literals = append(out, literals[0]), nil
	}
	for _, s := range b.seq {
		out = length(out, s.literals)
		n := min(int(s.literals), len(literals))
		out = append(out, literals[:n]...)
		literals = literals[n:]
		out = length(out, s.match)
		out = append(out, byte(s.offset), byte(s.offset>>8), byte(s.offset>>16), byte(s.offset>>24))
	}
	return append(out, literals...)
}

// described says whether the table of a kind of codes is described in the block.
func (b *block) described(kind int) bool {
	mode := b.modes >> (6 - 2*kind) & 3
	return mode == oneSymbol || mode == described
}
