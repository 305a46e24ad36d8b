package tree

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"
)

// indexMagic opens a stored index; docs/index-format.md describes what follows. Another layout gets another magic.
const indexMagic = "strata index 1\n"

// indexWindow is small: the paths in a row are alike, and an image has a hundred indexes that are written and read with it.
const indexWindow = 1 << 20

// How an entry's place in its hardlink group is written; members refer to the group's first entry by its position.
const (
	linkNone = iota
	linkFirst
	linkMember
)

// WriteTo writes the index in its stored form. Equal indexes give equal bytes. An index that is not in the form that the
// type's comment promises is an error that wraps ErrInvalid, and nothing is written.
func (x *Index) WriteTo(w io.Writer) (int64, error) {
	if err := x.validate(unlimited); err != nil {
		return 0, err
	}
	c := &countingWriter{w: w}
	if _, err := io.WriteString(c, indexMagic); err != nil {
		return c.n, err
	}
	z, err := zstd.NewWriter(c, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(indexWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return c.n, err
	}
	e := &indexEncoder{w: bufio.NewWriterSize(z, 64<<10), groups: map[string]int{}}
	e.index(x)
	if e.err == nil {
		e.err = e.w.Flush()
	}
	if err := z.Close(); e.err == nil {
		e.err = err
	}
	return c.n, e.err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// indexEncoder keeps the first error, so that the field list reads as the format does.
type indexEncoder struct {
	w      *bufio.Writer
	tmp    [binary.MaxVarintLen64]byte
	prev   string
	groups map[string]int // hardlink group → position of its first entry
	err    error
}

func (e *indexEncoder) index(x *Index) {
	e.int(x.TarSize)
	e.uint(len(x.Entries))
	for i := range x.Entries {
		e.entry(i, &x.Entries[i])
	}
	e.uint(len(x.Links))
	for _, l := range x.Links {
		e.string(l.Path)
		e.string(l.Target)
	}
	for _, list := range [][]string{x.Whiteouts, x.Opaque} {
		e.uint(len(list))
		for _, p := range list {
			e.string(p)
		}
	}
	e.uint(len(x.Inline))
	for _, in := range x.Inline {
		e.bytes(in.Digest[:])
		e.uint(len(in.Content))
		e.bytes(in.Content)
	}
}

func (e *indexEncoder) entry(i int, n *Entry) {
	common := 0
	for common < len(n.Path) && common < len(e.prev) && n.Path[common] == e.prev[common] {
		common++
	}
	e.uint(common)
	e.string(n.Path[common:])
	e.prev = n.Path
	switch n.Link {
	case "":
		e.uint(linkNone)
	case n.Path:
		e.groups[n.Path] = i
		e.uint(linkFirst)
	default:
		e.uint(linkMember + e.groups[n.Link])
		return // the rest is as in the first entry
	}
	e.uint(int(n.Kind))
	e.uint(int(n.Mode))
	e.uint(n.UID)
	e.uint(n.GID)
	e.int(n.Sec)
	e.uint(int(n.Nsec))
	e.uint(len(n.Xattrs))
	for _, x := range n.Xattrs {
		e.string(x.Name)
		e.string(x.Value)
	}
	switch n.Kind {
	case Regular:
		e.int(n.Size)
		e.bytes(n.Digest[:])
	case Symlink:
		e.string(n.Target)
	case Char, Block:
		e.int(n.Major)
		e.int(n.Minor)
	}
}

func (e *indexEncoder) uint(v int) { e.bytes(binary.AppendUvarint(e.tmp[:0], uint64(v))) }

func (e *indexEncoder) int(v int64) { e.bytes(binary.AppendVarint(e.tmp[:0], v)) }

func (e *indexEncoder) bytes(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *indexEncoder) string(s string) {
	e.uint(len(s))
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
}
