package rpmtest

import (
	"encoding/binary"
	"slices"
)

const (
	pageHeader = 26 // bytes
	inline     = 1  // item types
	offPage    = 3
)

// bdbPage returns a page of a Berkeley DB database.
func bdbPage(order binary.ByteOrder, size int, kind byte, next uint32, entries, used uint16) []byte {
	p := make([]byte, size)
	order.PutUint32(p[16:], next)
	order.PutUint16(p[20:], entries)
	order.PutUint16(p[22:], used)
	p[25] = kind
	return p
}

// BDB encodes a Berkeley DB hash database with one hash page: the counter rpm keeps there, inline if it is shorter than
// a quarter of the page, and the blobs.
func BDB(order binary.ByteOrder, size int, blobs ...[]byte) []byte {
	meta := make([]byte, size)
	order.PutUint32(meta[12:], 0x061561)
	order.PutUint32(meta[20:], uint32(size))
	meta[25] = 8
	hash := bdbPage(order, size, 13, 0, uint16(2*len(blobs)+2), 0)
	var pages []byte
	end := size
	put := func(i int, item []byte) {
		end -= len(item)
		copy(hash[end:], item)
		order.PutUint16(hash[pageHeader+2*i:], uint16(end))
	}
	put(0, []byte{inline, 0, 0, 0, 0})
	put(1, []byte{inline, 9, 0, 0, 0})
	for i, b := range blobs {
		put(2*i+2, []byte{inline, byte(i + 1), 0, 0, 0})
		if len(b) < size/4 {
			put(2*i+3, append([]byte{inline}, b...))
			continue
		}
		item := make([]byte, 12)
		item[0] = offPage
		first := uint32(2 + len(pages)/size)
		order.PutUint32(item[4:], first)
		order.PutUint32(item[8:], uint32(len(b)))
		put(2*i+3, item)
		for next := first + 1; len(b) > 0; next++ {
			n := min(len(b), size-pageHeader)
			if n == len(b) {
				next = 0
			}
			p := bdbPage(order, size, 7, next, 1, uint16(n))
			copy(p[pageHeader:], b[:n])
			pages, b = append(pages, p...), b[n:]
		}
	}
	order.PutUint32(meta[32:], uint32(1+len(pages)/size))
	return slices.Concat(meta, hash, pages)
}
