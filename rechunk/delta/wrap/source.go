package wrap

import (
	"errors"
	"io"
)

// block is how much of a content is read at once for looking at headers.
const block = 4 << 10

// cache holds one block of a content. An error of reading stays, and everything then looks as if it ended.
type cache struct {
	content Content
	at      int64
	bytes   []byte
	err     error
}

// source is a run of a content's bytes, for parsers of headers.
type source struct {
	*cache
	base, size int64
}

// newSource returns all of c.
func newSource(c Content) source { return source{&cache{content: c}, 0, c.Size()} }

// sub returns the n bytes from off on, which the source has.
func (s source) sub(off, n int64) source { return source{s.cache, s.base + off, n} }

// section returns a reader of the bytes from off on.
func (s source) section(off, n int64) *io.SectionReader {
	return io.NewSectionReader(s.content, s.base+off, n)
}

// bytes returns the n ≤ block bytes at off, valid until the next call, or nil if they are not all there.
func (s source) bytes(off, n int64) []byte {
	if off < 0 || n < 0 || n > block || off > s.size-n || s.err != nil {
		return nil
	}
	at := s.base + off
	if at < s.at || at+n > s.at+int64(len(s.cache.bytes)) {
		s.fill(at)
	}
	if from := at - s.at; from >= 0 && from+n <= int64(len(s.cache.bytes)) {
		return s.cache.bytes[from : from+n]
	}
	return nil
}

// most returns up to n ≤ block bytes at off.
func (s source) most(off, n int64) []byte { return s.bytes(off, min(n, max(0, s.size-off))) }

// fill reads the block that starts at the content's offset at.
func (c *cache) fill(at int64) {
	if cap(c.bytes) < block {
		c.bytes = make([]byte, block)
	}
	n, err := c.content.ReadAt(c.bytes[:block], at)
	c.at, c.bytes = at, c.bytes[:n]
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
}

// zeros returns where the run of zeros that starts at off ends.
func (s source) zeros(off int64) int64 {
	for off < s.size {
		b := s.most(off, block)
		if len(b) == 0 {
			return off
		}
		for i, c := range b {
			if c != 0 {
				return off + int64(i)
			}
		}
		off += int64(len(b))
	}
	return off
}
