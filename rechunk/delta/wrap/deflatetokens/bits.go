package deflatetokens

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// reader reads bits, low ones first, and no byte of src beyond those that they are in. After an error everything is zero.
type reader struct {
	src  *bufio.Reader
	word uint64
	n    int
	err  error
}

// need makes n ≤ 32 bits ready, as far as src has them.
func (r *reader) need(n int) {
	for r.n < n && r.err == nil {
		b, err := r.src.ReadByte()
		if err != nil {
			r.err = err
			return
		}
		r.word |= uint64(b) << r.n
		r.n += 8
	}
}

// bits takes n ≤ 16 bits.
func (r *reader) bits(n int) int {
	r.need(n)
	if r.err != nil {
		return 0
	}
	v := int(r.word & (1<<n - 1))
	r.word >>= n
	r.n -= n
	return v
}

// symbol takes a symbol of a code; −1 if there is none.
func (r *reader) symbol(c *code) int {
	// Bytes are read one at a time: a code is at the end of its stream, often.
	for {
		if e := c.decode[r.word&uint64(len(c.decode)-1)]; e.bits > 0 && int(e.bits) <= r.n {
			r.word >>= e.bits
			r.n -= int(e.bits)
			return int(e.symbol)
		} else if r.n >= c.longest {
			return -1
		}
		r.need(r.n + 1)
		if r.err != nil {
			return -1
		}
	}
}

// align takes the bits up to the next byte.
func (r *reader) align() int { return r.bits(r.n & 7) }

// failed returns the error of src, or ErrInvalid.
func (r *reader) failed(what string) error { return failed(r.err, what) }

func failed(err error, what string) error {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fmt.Errorf("%w: %s", ErrInvalid, what)
}

// writer writes bits, low ones first.
type writer struct {
	dst  io.Writer
	out  []byte
	word uint64
	n    int
	err  error
}

// flushed is how many bytes are put out at once.
const flushed = 32 << 10

// bits appends the low n ≤ 16 bits of v.
func (w *writer) bits(v, n int) {
	w.word |= uint64(v) & (1<<n - 1) << w.n //nolint:gosec // n bits of it
	w.n += n
	for w.n >= 8 {
		w.out = append(w.out, byte(w.word))
		w.word >>= 8
		w.n -= 8
	}
	if len(w.out) >= flushed {
		w.flush()
	}
}

// align appends the low bits of v up to the next byte.
func (w *writer) align(v int) { w.bits(v, -w.n&7) }

// flush puts out whole bytes.
func (w *writer) flush() {
	if w.err == nil && len(w.out) > 0 {
		_, w.err = w.dst.Write(w.out)
	}
	w.out = w.out[:0]
}

// code is a Huffman code by the lengths of its symbols' codes (RFC 1951, 3.2.2).
type code struct {
	longest int
	decode  []entry // by the next bits, as many as the longest has
	codes   []uint16
	lengths []uint8
}

type entry struct {
	symbol uint16
	bits   uint8 // 0: no symbol
}

// newCode returns false if lengths are those of more codes than there can be. Fewer are taken.
func newCode(lengths []uint8) (*code, bool) {
	var count, next [16]int
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	c := &code{codes: make([]uint16, len(lengths)), lengths: lengths}
	v := 0
	for n := 1; n < 16; n++ {
		v = (v + count[n-1]) << 1
		next[n] = v
		if v+count[n] > 1<<n {
			return nil, false
		}
		if count[n] > 0 {
			c.longest = n
		}
	}
	c.decode = make([]entry, 1<<c.longest)
	for s, n := range lengths {
		if n == 0 {
			continue
		}
		//nolint:gosec // at most 15 bits
		reversed := int(bits.Reverse16(uint16(next[n])) >> (16 - n))
		next[n]++
		c.codes[s] = uint16(reversed) //nolint:gosec // at most 15 bits
		for at := reversed; at < len(c.decode); at += 1 << n {
			c.decode[at] = entry{uint16(s), n} //nolint:gosec // below 288
		}
	}
	return c, true
}

// put writes a symbol, and returns false if it has no code.
func (c *code) put(w *writer, s int) bool {
	if s >= len(c.lengths) || c.lengths[s] == 0 {
		return false
	}
	w.bits(int(c.codes[s]), int(c.lengths[s]))
	return true
}
