package rpmdb

import (
	"encoding/binary"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// The serial types of a record's columns: how long a value is, and what.
const (
	serialNull  = 0
	serialFloat = 7  // 8 bytes
	serialOne   = 9  //
	serialBlob  = 12 // and all above: blobs if even, else text
)

// column is one value of a record.
type column struct {
	kind  int64 // its serial type
	bytes []byte
}

// recordColumn returns a column of a record; one that the record is too short for is null.
func recordColumn(row []byte, index int) (column, error) {
	size, n := varint(row)
	if n == 0 || size < int64(n) || size > int64(len(row)) {
		return column{}, installed.Damaged("sqlite record with a header of %d bytes", size)
	}
	types, values := row[n:size], row[size:]
	for i := 0; len(types) > 0; i++ {
		kind, n := varint(types)
		length := serialLength(kind)
		if n == 0 || length < 0 || length > int64(len(values)) {
			return column{}, installed.Damaged("sqlite record with a value of type %d", kind)
		}
		if i == index {
			return column{kind, values[:length]}, nil
		}
		types, values = types[n:], values[length:]
	}
	return column{}, nil
}

// serialLength returns how many bytes a value of a serial type takes, or -1 if there is no such type.
func serialLength(kind int64) int64 {
	switch {
	case kind < 0, kind == 10, kind == 11:
		return -1
	case kind >= serialBlob:
		return (kind - serialBlob) / 2
	}
	return []int64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind]
}

// number returns the value of a positive integer, 0 for all else.
func (c column) number() int64 {
	switch {
	case c.kind == serialOne:
		return 1
	case c.kind == serialNull, c.kind >= serialFloat:
		return 0
	}
	var b [8]byte
	copy(b[8-len(c.bytes):], c.bytes)
	return max(int64(binary.BigEndian.Uint64(b[:])), 0)
}

// varint reads one of sqlite's integers, 7 bits a byte and 8 in the ninth, and returns how many bytes it takes; 0 if b ends
// before.
func varint(b []byte) (v int64, n int) {
	for i := range min(len(b), 9) {
		if i == 8 {
			return v<<8 | int64(b[i]), 9
		}
		v = v<<7 | int64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
