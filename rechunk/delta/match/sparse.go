package match

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
)

const (
	sparse  = 512      // bytes of old between two that are remembered
	granule = 64 << 10 // what is read of old at a time
)

// sketch remembers some runs of old contents that are too large for memory.
type sketch struct {
	sizes []int64
	total int64
	table []uint64 // hash and place, both shortened
	shift uint
}

// windows matches old contents that do not fit into memory.
func (m *run) windows(ctx context.Context) error {
	if m.sketch == nil {
		k, err := m.draw(ctx)
		if err != nil {
			return err
		}
		m.sketch = k
	}
	var x *index // whose memory the next one takes
	var buf []byte
	for at := int64(0); at < m.new.Size(); at += m.window {
		data, err := m.load(at)
		if err != nil {
			return err
		}
		sections := m.sketch.likely(data, at, m.window*2)
		if buf, err = m.read(sections, buf); err != nil {
			return err
		}
		x = newIndex(buf, m.memory/8*5, x)
		if err := m.stretch(ctx, x, sections, data); err != nil {
			return err
		}
	}
	return nil
}

// draw reads all old contents once.
func (m *Matcher) draw(ctx context.Context) (*sketch, error) {
	k := &sketch{}
	for _, s := range m.old {
		k.sizes = append(k.sizes, s.Size())
		k.total += s.Size()
	}
	width := max(bits.Len64(uint64(k.total/sparse)), 4)
	k.table, k.shift = make([]uint64, 1<<width), uint(64-width)
	buf := make([]byte, 4<<20)
	var start int64
	for _, s := range m.old {
		for at := int64(0); at < s.Size(); at += int64(len(buf)) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b := buf[:min(int64(len(buf)), s.Size()-at)]
			if err := readAt(s, b, at); err != nil {
				return nil, err
			}
			for i := 0; i+long <= len(b); i += sparse {
				h := hash32(b[i:])
				k.table[h>>k.shift] = h<<40 | uint64((start+at+int64(i))/sparse+1)
			}
		}
		start += (s.Size() + granule - 1) / granule * granule
	}
	return k, nil
}

// likely gives sections of old, at most so many bytes and in ascending order, that have the most runs of data.
func (k *sketch) likely(data []byte, at, most int64) []section {
	votes := map[int64]int{}
	for i := 0; i+long <= len(data); i++ {
		h := hash32(data[i:])
		e := k.table[h>>k.shift]
		if place := int64(e & (1<<40 - 1)); place != 0 && e>>40 == h&(1<<24-1) {
			votes[(place-1)*sparse/granule]++
			i += long - 1
		}
	}
	type bin struct {
		granule int64
		votes   int
	}
	var bins []bin
	for g, n := range votes {
		bins = append(bins, bin{g, n})
	}
	slices.SortFunc(bins, func(a, b bin) int { return cmp.Or(b.votes-a.votes, cmp.Compare(a.granule, b.granule)) })
	chosen := map[int64]bool{}
	for _, b := range bins {
		for _, g := range []int64{b.granule, b.granule - 1, b.granule + 1} {
			if int64(len(chosen)) < most/granule {
				chosen[g] = true
			}
		}
	}
	for g := at / granule; int64(len(chosen)) < most/granule/4 && g <= (at+int64(len(data)))/granule; g++ {
		chosen[g] = true
	}
	return k.sections(chosen)
}

// sections turns granules into sections of the old contents.
func (k *sketch) sections(chosen map[int64]bool) []section {
	var all []section
	var start int64
	for i, size := range k.sizes {
		for g := int64(0); g*granule < size; g++ {
			if !chosen[start+g] {
				continue
			}
			s := section{source: i, at: g * granule, size: min(granule, size-g*granule)}
			if n := len(all); n > 0 && all[n-1].source == i && all[n-1].at+all[n-1].size == s.at {
				all[n-1].size += s.size
			} else {
				all = append(all, s)
			}
		}
		start += (size + granule - 1) / granule
	}
	return all
}
