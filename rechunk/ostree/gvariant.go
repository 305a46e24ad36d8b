package ostree

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// parseGVariantXattrs decodes a serialised GVariant of type a(ayay), as ostree stores extended attributes: each name ends in
// a NUL byte. GVariant arrays of variable-sized elements end in a table of the elements' end offsets, whose width follows
// from the length of the container.
func parseGVariantXattrs(b []byte) ([]tree.Xattr, error) {
	ends, err := gvariantEnds(b)
	if err != nil {
		return nil, err
	}
	var out []tree.Xattr
	start := 0
	for _, end := range ends {
		if end < start || end > len(b) {
			return nil, tree.Invalidf("attributes: element from %d to %d", start, end)
		}
		x, err := parseGVariantPair(b[start:end])
		if err != nil {
			return nil, err
		}
		out = append(out, x)
		start = end
	}
	slices.SortFunc(out, func(x, y tree.Xattr) int { return strings.Compare(x.Name, y.Name) })
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name {
			return nil, tree.Invalidf("attributes: %q twice", out[i].Name)
		}
	}
	return out, nil
}

// gvariantEnds reads the end offsets of an array's elements.
func gvariantEnds(b []byte) ([]int, error) {
	if len(b) == 0 {
		return nil, nil
	}
	w := gvariantWidth(len(b))
	if len(b) < w {
		return nil, tree.Invalidf("attributes: %d bytes", len(b))
	}
	table := gvariantOffset(b[len(b)-w:])
	if table < 0 || table > len(b)-w || (len(b)-table)%w != 0 {
		return nil, tree.Invalidf("attributes: offset table at %d of %d", table, len(b))
	}
	var ends []int
	for i := table; i < len(b); i += w {
		end := gvariantOffset(b[i : i+w])
		if end > table {
			return nil, tree.Invalidf("attributes: element ends at %d of %d", end, table)
		}
		ends = append(ends, end)
	}
	return ends, nil
}

// parseGVariantPair decodes (ayay): name, value, then the end of the name.
func parseGVariantPair(b []byte) (tree.Xattr, error) {
	w := gvariantWidth(len(b))
	if len(b) < w+1 {
		return tree.Xattr{}, tree.Invalidf("attributes: pair of %d bytes", len(b))
	}
	end := gvariantOffset(b[len(b)-w:])
	if end < 2 || end > len(b)-w || bytes.IndexByte(b[:end], 0) != end-1 {
		return tree.Xattr{}, tree.Invalidf("attributes: name ends at %d of %d", end, len(b))
	}
	return tree.Xattr{Name: string(b[:end-1]), Value: string(b[end : len(b)-w])}, nil
}

func gvariantWidth(n int) int {
	switch {
	case n <= 0xff:
		return 1
	case n <= 0xffff:
		return 2
	}
	return 4
}

func gvariantOffset(b []byte) int {
	var le [8]byte
	copy(le[:], b)
	return int(binary.LittleEndian.Uint64(le[:]))
}
