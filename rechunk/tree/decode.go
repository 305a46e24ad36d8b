package tree

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/tree/origin"
)

// ReadIndex reads a stored index to the end of r. A damaged one is an error that wraps ErrInvalid, one beyond the limits an
// error that wraps ErrLimit; an error of r is returned as it is.
func ReadIndex(r io.Reader, lim Limits) (*Index, error) { return NewBudget(lim).ReadIndex(r) }

// ReadIndex is the function ReadIndex within the budget of an image. Inline contents for which there is no room are left
// out.
func (b *Budget) ReadIndex(r io.Reader) (*Index, error) {
	lim := b.lim
	src := origin.New(r)
	magic := make([]byte, len(indexMagic))
	if _, err := io.ReadFull(src, magic); src.Err() != nil {
		return nil, src.Err()
	} else if err != nil || string(magic) != indexMagic {
		return nil, Invalidf("not a stored index of version 1")
	}
	z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(lim.Window))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	d := &indexDecoder{r: bufio.NewReaderSize(z, 64<<10), lim: lim, budget: b}
	x := d.index()
	if d.err == nil {
		d.end()
	}
	if d.err == nil {
		d.err = x.validate(lim)
	}
	if d.err == nil {
		x.Inline = slices.DeleteFunc(x.Inline, func(in Inline) bool { return !b.TakeInline(int64(len(in.Content))) })
	}
	switch {
	case src.Err() != nil:
		return nil, src.Err()
	case d.err == nil:
		return x, nil
	case errors.Is(d.err, ErrLimit), errors.Is(d.err, ErrInvalid):
		return nil, fmt.Errorf("stored index: %w", d.err)
	case errors.Is(d.err, zstd.ErrWindowSizeExceeded):
		return nil, fmt.Errorf("%w: stored index: %w", ErrLimit, d.err)
	}
	return nil, fmt.Errorf("%w: stored index: %w", ErrInvalid, d.err)
}

// indexDecoder keeps the first error; after it everything reads as zero.
type indexDecoder struct {
	r      *bufio.Reader
	lim    Limits
	budget *Budget
	buf    []byte
	sum    Digest
	err    error
}

// end checks that nothing follows.
func (d *indexDecoder) end() {
	switch _, err := d.r.ReadByte(); err {
	case io.EOF:
	case nil:
		d.fail(Invalidf("bytes after the end"))
	default:
		d.fail(err)
	}
}

func (d *indexDecoder) index() *Index {
	x := &Index{TarSize: d.int()}
	prev := ""
	for n := d.count(); n > 0 && d.err == nil; n-- {
		if len(x.Entries) == cap(x.Entries) {
			// The count is not believed beyond twice of what came so far.
			x.Entries = slices.Grow(x.Entries, min(n, max(len(x.Entries), 1<<14)))
		}
		x.Entries = append(x.Entries, d.entry(prev, x.Entries))
		last := &x.Entries[len(x.Entries)-1]
		prev = last.Path
		d.hold(indexCost, last.Path, last.Target)
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		l := Link{d.string(d.lim.Path), d.string(d.lim.Path)}
		d.hold(indexCost, l.Path, l.Target)
		x.Links = append(x.Links, l)
	}
	x.Whiteouts, x.Opaque = d.paths(), d.paths()
	left := d.lim.InlineBytes
	for n := d.count(); n > 0 && d.err == nil; n-- {
		in := d.inline(min(left, MaxInline))
		left -= int64(len(in.Content))
		x.Inline = append(x.Inline, in)
	}
	return x
}

func (d *indexDecoder) inline(most int64) Inline {
	in := Inline{Digest: d.digest()}
	n := d.uint(uint64(most))
	if d.err == nil {
		in.Content = make([]byte, n)
		d.full(in.Content)
	}
	return in
}

func (d *indexDecoder) paths() []string {
	var out []string
	for n := d.count(); n > 0 && d.err == nil; n-- {
		out = append(out, d.string(d.lim.Path))
		d.hold(nameCost, out[len(out)-1], "")
	}
	return out
}

// entry reads the entry that follows those before it, the last of which has the path prev.
func (d *indexDecoder) entry(prev string, before []Entry) Entry {
	path := d.suffixed(prev)
	link := d.uint(uint64(linkMember + len(before) - 1))
	if link >= linkMember {
		if link -= linkMember; before[link].Link != before[link].Path {
			d.fail(Invalidf("%q refers to entry %d, which starts no hardlink group", path, link))
			return Entry{}
		}
		e := before[link]
		e.Path = path
		return e
	}
	e := Entry{Path: path}
	if link == linkFirst {
		e.Link = path
	}
	e.Kind = Kind(d.uint(uint64(Fifo)))
	e.Mode = uint32(d.uint(0o7777))
	e.UID, e.GID = int(d.uint(maxID)), int(d.uint(maxID))
	e.Sec, e.Nsec = d.int(), int32(d.uint(999_999_999))
	e.Xattrs = d.xattrs()
	switch e.Kind {
	case Regular:
		e.Size, e.Digest = d.int(), d.digest()
	case Symlink:
		e.Target = d.string(d.lim.Path)
	case Char, Block:
		e.Major, e.Minor = d.int(), d.int()
	}
	return e
}

// xattrs reads the attributes of an entry.
func (d *indexDecoder) xattrs() []Xattr {
	var out []Xattr
	for n := d.count(); n > 0 && d.err == nil; n-- {
		out = append(out, Xattr{d.string(maxXattr), d.string(maxXattr)})
	}
	if d.err != nil {
		return nil
	}
	shared, err := d.budget.Xattrs(out)
	if err != nil {
		d.fail(err)
	}
	return shared
}

// maxXattr bounds an attribute's name and value, as archive/tar bounds a pax header.
const maxXattr = 1 << 20

// hold accounts for what an element takes.
func (d *indexDecoder) hold(cost int64, path, target string) {
	err := d.budget.TakeHeader(0)
	if err == nil {
		err = d.budget.hold(cost + int64(len(path)+len(target)))
	}
	if err != nil {
		d.fail(err)
	}
}

func (d *indexDecoder) count() int { return int(d.uint(uint64(d.lim.Entries))) }

func (d *indexDecoder) fail(err error) {
	if d.err != nil {
		return
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	d.err = err
}

func (d *indexDecoder) uint(most uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(d.r)
	if err == nil && v > most {
		err = Invalidf("number %d, at most %d", v, most)
	}
	if err != nil {
		d.fail(err)
		return 0
	}
	return v
}

func (d *indexDecoder) int() int64 {
	if d.err != nil {
		return 0
	}
	v, err := binary.ReadVarint(d.r)
	if err != nil {
		d.fail(err)
	}
	return v
}

// digest reads into the decoder's own field: an entry that is read into would be allocated by itself.
func (d *indexDecoder) digest() Digest {
	d.full(d.sum[:])
	return d.sum
}

func (d *indexDecoder) full(b []byte) {
	if d.err != nil {
		return
	}
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.fail(err)
	}
}

func (d *indexDecoder) string(most int) string {
	d.buf = d.buf[:0]
	d.grow(most)
	return string(d.buf)
}

// suffixed reads a path that shares its first bytes with the one before it.
func (d *indexDecoder) suffixed(prev string) string {
	common := d.uint(uint64(len(prev)))
	d.buf = append(d.buf[:0], prev[:common]...)
	d.grow(d.lim.Path)
	return string(d.buf)
}

// grow appends a length-prefixed string to the buffer and accounts for all that is in it then.
func (d *indexDecoder) grow(most int) {
	n := int(d.uint(uint64(most)))
	if err := d.budget.takeMeta(len(d.buf) + n); err != nil {
		d.fail(err)
	}
	if d.err != nil {
		d.buf = d.buf[:0]
		return
	}
	have := len(d.buf)
	d.buf = append(d.buf, make([]byte, n)...)
	d.full(d.buf[have:])
}
