package delta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/strata-oci/strata/rechunk/delta/match"
)

const (
	sketchRun  = 16      // bytes of a run that is hashed
	sketchRate = 128     // of so many runs, one is remembered
	sketchMost = 16      // stretches of a content that are read
	stretch    = 1 << 20 // and their length
	leastRuns  = 8       // that must be shared for a file to be of use
)

// sketch are the hashes of some runs of a content, ascending: those whose hash is small, so that two contents with the same
// run both have it or both lack it, wherever it is (Broder, "On the resemblance and containment of documents", 1997).
type sketch []uint64

// draw reads a content, or of a large one stretches that are spread over it.
func draw(ctx context.Context, s match.Source) (sketch, error) {
	var k sketch
	size := s.Size()
	n := min((size+stretch-1)/stretch, sketchMost)
	buf := make([]byte, min(size, stretch))
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at := i * stretch
		if size > sketchMost*stretch {
			at = (size - stretch) / (sketchMost - 1) * i
		}
		b := buf[:min(stretch, size-at)]
		if got, err := s.ReadAt(b, at); got < len(b) {
			return nil, fmt.Errorf("read a content: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		k = k.runs(b)
	}
	slices.Sort(k)
	return slices.Compact(k), nil
}

// runs adds the runs of b.
func (k sketch) runs(b []byte) sketch {
	for i := 0; i+sketchRun <= len(b); i++ {
		h := binary.LittleEndian.Uint64(b[i:]) * 0x9e3779b97f4a7c15
		h = (h ^ h>>29 ^ binary.LittleEndian.Uint64(b[i+8:])) * 0xbf58476d1ce4e5b9
		if h ^= h >> 32; h%sketchRate == 0 {
			k = append(k, h)
		}
	}
	return k
}

// split tells what of k is in o, and what is not.
func (k sketch) split(o sketch) (in int, rest sketch) {
	for _, h := range k {
		for len(o) > 0 && o[0] < h {
			o = o[1:]
		}
		if len(o) > 0 && o[0] == h {
			in++
		} else {
			rest = append(rest, h)
		}
	}
	return in, rest
}

// choose keeps of the files that the content may come from those that it does.
func (c *coder) choose(ctx context.Context) (err error) {
	c.like, err = choose(ctx, c.m.o.Contents, c.item.Path, c.data, c.like)
	return err
}

// Choose returns the files that a content, which is to have that path, may have come from, at most two: of those that Near
// gives, the ones whose contents have most of it.
func (f *Finder) Choose(ctx context.Context, from Contents, p string, content match.Source) ([]File, error) {
	return choose(ctx, from, p, content, f.Near(p, content.Size()))
}

// choose keeps of the files that a content may come from the one that has most of it, and another one that has enough of
// the rest. The one that has the content's name stays unless another has clearly more: what is compressed has nothing in
// common with what it comes from.
func choose(ctx context.Context, from Contents, p string, content match.Source, like []File) ([]File, error) {
	named := len(like) > 0 && path.Base(unversioned(like[0].Path)) == path.Base(unversioned(p))
	if len(like) == 0 || named && len(like) == 1 {
		return like, nil
	}
	all, err := draw(ctx, content)
	if err != nil {
		return nil, err
	}
	sketches := make([]sketch, len(like))
	for i, f := range like {
		if sketches[i], err = drawFile(ctx, from, f); err != nil {
			return nil, err
		}
	}
	var chosen []File
	first, in, rest := fullest(all, sketches)
	if in < max(leastRuns, len(all)/16) {
		first = -1
	}
	if named && first != 0 {
		if have, left := all.split(sketches[0]); first < 0 || in*4 < have*5 {
			first, rest = 0, left
		}
	}
	if first >= 0 {
		chosen = append(chosen, like[first])
		if i, in, _ := fullest(rest, sketches); in >= max(leastRuns, len(all)/8) {
			chosen = append(chosen, like[i])
		}
	}
	return chosen, nil
}

// fullest finds the sketch that has most of k.
func fullest(k sketch, of []sketch) (at, in int, rest sketch) {
	at = -1
	for i, o := range of {
		if n, left := k.split(o); n > in {
			at, in, rest = i, n, left
		}
	}
	return at, in, rest
}

// drawFile draws a file of the seed.
func drawFile(ctx context.Context, from Contents, f File) (sketch, error) {
	c, err := openOld(ctx, from, f)
	if err != nil {
		return nil, err
	}
	k, err := draw(ctx, c)
	if err = errors.Join(err, c.Close()); err != nil {
		return nil, fmt.Errorf("%.200q of the seed: %w", f.Path, err)
	}
	return k, nil
}
