package compare

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errVariant marks bytes that are no GVariant of the type that was asked for.
var errVariant = errors.New("damaged object")

// members splits a container type, "(…)" or "a…", into the types of what it holds; an array has one.
func members(typ string) (out []string) {
	if typ[0] == 'a' {
		return []string{typ[1:]}
	}
	for rest := typ[1 : len(typ)-1]; rest != ""; {
		n := length(rest)
		out = append(out, rest[:n])
		rest = rest[n:]
	}
	return out
}

// length is that of the first type in a string of types.
func length(types string) int {
	switch types[0] {
	case 'a':
		return 1 + length(types[1:])
	case '(', '{':
		n := 1
		for types[n] != ')' && types[n] != '}' {
			n += length(types[n:])
		}
		return n + 1
	}
	return 1
}

// layout is the size of a type's values, 0 where it varies, and what their places are multiples of. Tuples of fixed size are
// in none of ostree's objects.
func layout(typ string) (size, align int) {
	switch typ[0] {
	case 'y':
		return 1, 1
	case 'u':
		return 4, 4
	case 't':
		return 8, 8
	case 'v':
		return 0, 8
	case 's':
		return 0, 1
	}
	align = 1
	inner := typ[1:]
	if typ[0] != 'a' {
		inner = typ[1 : len(typ)-1]
	}
	for ; inner != ""; inner = inner[length(inner):] {
		_, a := layout(inner)
		align = max(align, a)
	}
	return 0, align
}

// split divides a serialised container into what it holds, by GVariant's rules: values one after another, each at a multiple
// of its alignment, and at the end of the container where those end whose size varies. The table of an array ascends; that
// of a tuple descends and leaves out a last member.
func split(typ string, b []byte) (out [][]byte, err error) {
	if len(b) == 0 && typ[0] == 'a' {
		return nil, nil
	}
	width := 1
	if len(b) > 0xffff {
		width = 4
	} else if len(b) > 0xff {
		width = 2
	}
	number := func(at int) int {
		if at < 0 || at+width > len(b) {
			return -1
		}
		var raw [4]byte
		copy(raw[:], b[at:at+width])
		return int(binary.LittleEndian.Uint32(raw[:]))
	}
	types := members(typ)
	at, table := 0, len(b)
	if typ[0] == 'a' {
		if size, _ := layout(types[0]); size > 0 {
			return nil, fmt.Errorf("%w: no table in %s", errVariant, typ)
		}
		table = number(len(b) - width)
		if table < 0 || table > len(b)-width || (len(b)-table)%width != 0 {
			return nil, fmt.Errorf("%w: %s of %d bytes", errVariant, typ, len(b))
		}
		for len(types) < (len(b)-table)/width {
			types = append(types, types[0])
		}
	}
	next, last := len(b), len(types)-1
	if typ[0] == 'a' {
		next, last = table, len(types)
	}
	for i, t := range types {
		size, align := layout(t)
		at = (at + align - 1) / align * align
		end := at + size
		switch {
		case size > 0:
		case i == last:
			end = next
		case typ[0] == 'a':
			end = number(table + i*width)
		default:
			next -= width
			end = number(next)
		}
		if at > end || end > len(b) {
			return nil, fmt.Errorf("%w: member %d of %s from %d to %d", errVariant, i, typ, at, end)
		}
		out = append(out, b[at:end])
		at = end
	}
	return out, nil
}
