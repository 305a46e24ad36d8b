package delta

import (
	"encoding/binary"
	"fmt"
)

// appendString appends a string field.
func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// fields reads the fields of a header or of operations. After an error all that follows is zero.
type fields struct {
	b   []byte
	err error
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	f.b = nil
}

// uint reads a number of at most so much.
func (f *fields) uint(what string, most int64) int64 {
	v, n := binary.Uvarint(f.b)
	switch {
	case f.err != nil:
		return 0
	case n == 0:
		f.fail("%s is cut off", what)
		return 0
	case n < 0:
		f.fail("%s has more than 64 bits", what)
		return 0
	case v > uint64(most):
		f.fail("%s is %d, at most %d", what, v, most)
		return 0
	}
	f.b = f.b[n:]
	return int64(v)
}

func (f *fields) int(what string) int64 {
	v, n := binary.Varint(f.b)
	switch {
	case f.err != nil:
		return 0
	case n == 0:
		f.fail("%s is cut off", what)
		return 0
	case n < 0:
		f.fail("%s has more than 64 bits", what)
		return 0
	}
	f.b = f.b[n:]
	return v
}

// bytes reads n bytes, valid as long as what is read from.
func (f *fields) bytes(what string, n int64) []byte {
	if f.err != nil || n > int64(len(f.b)) {
		f.fail("%s is cut off", what)
		return nil
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

// string reads a string of at most so many bytes.
func (f *fields) string(what string, most int) string {
	return string(f.bytes(what, f.uint("the length of "+what, int64(most))))
}
