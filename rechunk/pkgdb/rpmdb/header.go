package rpmdb

import (
	"bytes"
	"encoding/binary"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

const (
	// maxTags is rpm's own limit (lib/header.c).
	maxTags = 0xffff
	// maxHeader is the length in bytes of the longest header that is read. Rpm's own limit is 256 MiB; a header takes some
	// 150 bytes a file, and the largest packages have 100,000.
	maxHeader = 32 << 20
)

const (
	preamble   = 8  // two 32-bit counts: index entries, bytes of store
	indexEntry = 16 // tag, type, offset, count
)

// The data types of header entries, as rpm numbers them.
const (
	typeInt8        = 2
	typeInt16       = 3
	typeInt32       = 4
	typeInt64       = 5
	typeString      = 6
	typeStringArray = 8
	typeI18NString  = 9
)

// header is a decoded rpm header, as databases store it: without the magic of a package file, in network byte order. Values
// are decoded when asked for, from the blob that it was made of.
type header struct {
	entries []headerEntry
	store   []byte
}

type headerEntry struct {
	tag, kind, offset, count uint32
}

// parseHeader checks a header's outline and keeps those entries whose tag is wanted.
func parseHeader(blob []byte) (*header, error) {
	if len(blob) < preamble || len(blob) > maxHeader {
		return nil, installed.Damaged("header of %d bytes, %d to %d are allowed", len(blob), preamble, maxHeader)
	}
	tags, size := binary.BigEndian.Uint32(blob), binary.BigEndian.Uint32(blob[4:])
	if tags > maxTags {
		return nil, installed.Damaged("header with %d entries, at most %d are allowed", tags, maxTags)
	}
	if size > maxHeader {
		return nil, installed.Damaged("header store of %d bytes, at most %d are allowed", size, maxHeader)
	}
	end := preamble + int(tags)*indexEntry
	if len(blob) < end+int(size) {
		return nil, installed.Damaged("header of %d bytes where its index promises %d", len(blob), end+int(size))
	}
	h := &header{entries: make([]headerEntry, 0, wantedTags), store: blob[end : end+int(size)]}
	for at := preamble; at < end; at += indexEntry {
		e := headerEntry{
			tag:    binary.BigEndian.Uint32(blob[at:]),
			kind:   binary.BigEndian.Uint32(blob[at+4:]),
			offset: binary.BigEndian.Uint32(blob[at+8:]),
			count:  binary.BigEndian.Uint32(blob[at+12:]),
		}
		if !wanted(e.tag) {
			continue
		}
		if e.offset > size || e.count > size-e.offset {
			return nil, installed.Damaged("tag %d lies outside of the header's store", e.tag)
		}
		h.put(e)
	}
	return h, nil
}

// put adds an entry. A second one with the same tag replaces the first: rpm appends what it changes behind the signed
// region.
func (h *header) put(e headerEntry) {
	for i := range h.entries {
		if h.entries[i].tag == e.tag {
			h.entries[i] = e
			return
		}
	}
	h.entries = append(h.entries, e)
}

func (h *header) find(tag uint32) (headerEntry, bool) {
	for _, e := range h.entries {
		if e.tag == tag && e.count > 0 {
			return e, true
		}
	}
	return headerEntry{}, false
}

// text returns the first string of a tag; "" when the header has none.
func (h *header) text(tag uint32) (string, error) {
	l, err := h.texts(tag)
	if err != nil || l.left == 0 {
		return "", err
	}
	s, err := l.next()
	return string(s), err
}

// texts returns the strings of a tag; an empty list when the header has none.
func (h *header) texts(tag uint32) (stringList, error) {
	e, ok := h.find(tag)
	if !ok {
		return stringList{}, nil
	}
	switch e.kind {
	case typeString:
		e.count = 1
	case typeStringArray, typeI18NString:
	default:
		return stringList{}, installed.Damaged("tag %d has type %d, not strings", tag, e.kind)
	}
	return stringList{tag: tag, rest: h.store[e.offset:], left: int(e.count)}, nil
}

// ints returns the integers of a tag; an empty list when the header has none.
func (h *header) ints(tag uint32) (intList, error) {
	e, ok := h.find(tag)
	if !ok {
		return intList{}, nil
	}
	width := 0
	switch e.kind {
	case typeInt8:
		width = 1
	case typeInt16:
		width = 2
	case typeInt32:
		width = 4
	case typeInt64:
		width = 8
	default:
		return intList{}, installed.Damaged("tag %d has type %d, not integers", tag, e.kind)
	}
	if int64(e.count)*int64(width) > int64(len(h.store))-int64(e.offset) {
		return intList{}, installed.Damaged("tag %d reaches beyond the header's store", tag)
	}
	return intList{data: h.store[e.offset : int(e.offset)+int(e.count)*width], width: width}, nil
}

// stringList walks NUL-terminated strings.
type stringList struct {
	tag  uint32
	rest []byte
	left int
}

// next returns the next string, which is a part of the blob.
func (l *stringList) next() ([]byte, error) {
	s, rest, ok := bytes.Cut(l.rest, []byte{0})
	if l.left == 0 || !ok {
		return nil, installed.Damaged("tag %d has fewer strings than it announces", l.tag)
	}
	l.rest = rest
	l.left--
	return s, nil
}

// intList gives access to big-endian unsigned integers of one width.
type intList struct {
	data  []byte
	width int
}

func (l intList) len() int {
	if l.width == 0 {
		return 0
	}
	return len(l.data) / l.width
}

// at returns the i-th integer. 64-bit values beyond int64 come out negative, which no caller believes.
func (l intList) at(i int) int64 {
	var v uint64
	for j := i * l.width; j < (i+1)*l.width; j++ {
		v = v<<8 | uint64(l.data[j])
	}
	return int64(v)
}
