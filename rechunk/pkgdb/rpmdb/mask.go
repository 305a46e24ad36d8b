package rpmdb

import (
	"bytes"
	"encoding/binary"
)

// The tags that say when a package was installed, with rpm's numbers: RPMTAG_INSTALLTIME and RPMTAG_INSTALLTID. Both are
// outside of what the package's signature covers.
const (
	tagInstallTime = 1008
	tagInstallTID  = 1128
)

const (
	typeChar   = 1
	typeBinary = 7
)

// maskInstalled sets the values of both tags to 0 in a header's blob and returns what they were. A header that has one of
// them in another shape than rpm gives it, or in which anything else lies on the same bytes, stays as it is, and so do one
// that is damaged and one without them: 0 is returned then.
func maskInstalled(blob []byte) (at, tid uint32) {
	if len(blob) < preamble || len(blob) > maxHeader {
		return 0, 0
	}
	tags, size := int64(binary.BigEndian.Uint32(blob)), int64(binary.BigEndian.Uint32(blob[4:]))
	end := preamble + tags*indexEntry
	if tags > maxTags || end+size != int64(len(blob)) {
		return 0, 0
	}
	store := blob[end:]
	var found [2][]byte
	for i := range tags {
		e := entryAt(blob, i)
		k := 0
		switch e.tag {
		case tagInstallTime:
		case tagInstallTID:
			k = 1
		default:
			continue
		}
		if found[k] != nil || e.kind != typeInt32 || e.count != 1 || int64(e.offset)+4 > size || e.offset%4 != 0 ||
			!alone(blob, store, tags, i) {
			return 0, 0
		}
		found[k] = store[e.offset : e.offset+4]
	}
	if found[0] == nil || found[1] == nil {
		return 0, 0
	}
	at, tid = binary.BigEndian.Uint32(found[0]), binary.BigEndian.Uint32(found[1])
	clear(found[0])
	clear(found[1])
	return at, tid
}

// entryAt decodes an entry of a header's index.
func entryAt(blob []byte, i int64) headerEntry {
	b := blob[preamble+i*indexEntry:]
	return headerEntry{
		tag: binary.BigEndian.Uint32(b), kind: binary.BigEndian.Uint32(b[4:]), offset: binary.BigEndian.Uint32(b[8:]),
		count: binary.BigEndian.Uint32(b[12:]),
	}
}

// alone reports whether no other entry's value touches the four bytes of entry k's. Entries that make it look at the store
// more often than headers do are taken for such that touch.
func alone(blob, store []byte, tags, k int64) bool {
	const often = 256
	from, left := int64(entryAt(blob, k).offset), often*int64(len(store))
	for i := range tags {
		e := entryAt(blob, i)
		if i == k || int64(e.offset) >= from+4 {
			continue
		}
		if left -= from - int64(e.offset); left < 0 || e.reaches(store, from) {
			return false
		}
	}
	return true
}

// reaches reports whether the value of an entry that begins less than four bytes behind a place in the store, or before it,
// goes on beyond it. Of strings that is so if they do not all end before.
func (e headerEntry) reaches(store []byte, place int64) bool {
	from, count := int64(e.offset), int64(e.count)
	width := int64(1)
	switch e.kind {
	case typeChar, typeInt8, typeBinary:
	case typeInt16:
		width = 2
	case typeInt32:
		width = 4
	case typeInt64:
		width = 8
	case typeString, typeStringArray, typeI18NString:
		if e.kind == typeString {
			count = 1
		}
		return from >= place || int64(bytes.Count(store[from:place], []byte{0})) < count
	default:
		return true
	}
	return from+count*width > place
}
