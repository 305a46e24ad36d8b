package ostree

import (
	"encoding/binary"
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// value is a serialised GVariant, and what the container around it must know of its type: the alignment, and whether all
// values of the type have one size.
type value struct {
	bytes []byte
	align int
	fixed bool
}

// number is a u as ostree has them, big-endian.
func number(n uint32) value { return value{binary.BigEndian.AppendUint32(nil, n), 4, true} }

// moment is a t as ostree has them, big-endian.
func moment(n uint64) value { return value{binary.BigEndian.AppendUint64(nil, n), 8, true} }

// truth is a b.
func truth(b bool) value {
	if b {
		return value{[]byte{1}, 1, true}
	}
	return value{[]byte{0}, 1, true}
}

// text is an s, or an ay that holds a string of C.
func text(s string) value { return value{append([]byte(s), 0), 1, false} }

// raw is an ay.
func raw(b []byte) value { return value{b, 1, false} }

// variant is a v that holds a value of a type.
func variant(typ string, v value) value {
	return value{append(append(slices.Clone(v.bytes), 0), typ...), 8, false}
}

// tuple puts members together; at least one must be of no fixed size. The ends of those but the last follow, the first one's
// at the end.
func tuple(members ...value) value {
	out := value{align: 1}
	var ends []int
	for i, m := range members {
		out.add(m)
		if !m.fixed && i < len(members)-1 {
			ends = append(ends, len(out.bytes))
		}
	}
	slices.Reverse(ends)
	out.close(ends)
	return out
}

// array puts elements of no fixed size together, whose type has the given alignment. Their ends follow.
func array(align int, elements ...value) value {
	out := value{align: align}
	ends := make([]int, len(elements))
	for i, e := range elements {
		out.add(e)
		ends[i] = len(out.bytes)
	}
	out.close(ends)
	return out
}

// add appends a member where its alignment allows.
func (v *value) add(m value) {
	for len(v.bytes)%m.align != 0 {
		v.bytes = append(v.bytes, 0)
	}
	v.align = max(v.align, m.align)
	v.bytes = append(v.bytes, m.bytes...)
}

// close appends the table of ends, as wide as the length of the whole demands.
func (v *value) close(ends []int) {
	width := 1
	for len(v.bytes)+width*len(ends) > 1<<(8*width)-1 {
		width *= 2
	}
	for _, end := range ends {
		v.bytes = append(v.bytes, binary.LittleEndian.AppendUint64(nil, uint64(end))[:width]...)
	}
}

// xattrsValue is an a(ayay), sorted by name.
func xattrsValue(x []tree.Xattr) value {
	elements := make([]value, len(x))
	for i, a := range x {
		elements[i] = tuple(text(a.Name), raw([]byte(a.Value)))
	}
	return array(1, elements...)
}
