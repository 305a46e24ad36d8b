// Package rpmtest encodes rpm headers and databases for tests and benchmarks. It shares no code with the decoder.
package rpmtest

import (
	"encoding/binary"
	"slices"
)

// Field is a header entry: a tag with a string, []string, []uint16, []uint32 or []uint64.
type Field struct {
	Tag   uint32
	Value any
}

// Header encodes a header as rpm does, without regions.
func Header(fields ...Field) []byte {
	var index, store []byte
	be := binary.BigEndian
	for _, f := range fields {
		for len(store)%alignment(f.Value) != 0 {
			store = append(store, 0)
		}
		at, count, kind := len(store), 1, uint32(0)
		switch v := f.Value.(type) {
		case string:
			kind, store = 6, append(append(store, v...), 0)
		case []string:
			kind, count = 8, len(v)
			for _, s := range v {
				store = append(append(store, s...), 0)
			}
		case []uint16:
			kind, count = 3, len(v)
			for _, n := range v {
				store = be.AppendUint16(store, n)
			}
		case []uint32:
			kind, count = 4, len(v)
			for _, n := range v {
				store = be.AppendUint32(store, n)
			}
		case []uint64:
			kind, count = 5, len(v)
			for _, n := range v {
				store = be.AppendUint64(store, n)
			}
		}
		for _, n := range []uint32{f.Tag, kind, uint32(at), uint32(count)} {
			index = be.AppendUint32(index, n)
		}
	}
	out := be.AppendUint32(nil, uint32(len(fields)))
	out = be.AppendUint32(out, uint32(len(store)))
	return slices.Concat(out, index, store)
}

// alignment is what the offset of a value is a multiple of.
func alignment(value any) int {
	switch value.(type) {
	case []uint16:
		return 2
	case []uint32:
		return 4
	case []uint64:
		return 8
	}
	return 1
}
