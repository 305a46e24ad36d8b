package main

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
)

// filler makes bytes that compress to a wanted share: random ones, and copies of what was before, some of them from further
// back than gzip looks.
type filler struct {
	buf []byte
}

const (
	// window is how far copies reach.
	window = 256 << 10
	// piece is the length of random bytes, longest of a copy.
	piece, longest = 24, 64
	// copied is what a copied byte takes compressed, about.
	copied = 0.09
)

func newFiller() *filler { return &filler{make([]byte, 2*window)} }

// write writes size bytes that depend on the seed alone.
func (f *filler) write(w io.Writer, size int64, share float64, seed [32]byte) error {
	rng := rand.NewChaCha8(seed)
	literal := (share - copied) / (1 - copied)
	begun := 0
	for size > 0 {
		if begun == window {
			copy(f.buf, f.buf[window:])
		} else {
			begun = 0
		}
		end := begun + int(min(size, window))
		f.fill(rng, begun, end, literal)
		if _, err := w.Write(f.buf[begun:end]); err != nil {
			return err
		}
		size -= int64(end - begun)
		if begun == 0 && end == window {
			begun = window
		}
	}
	return nil
}

// fill fills the buffer between two positions; what is before may be copied.
func (f *filler) fill(rng *rand.ChaCha8, from, to int, literal float64) {
	// Of the pieces, so many are random that their bytes are the wanted share: pieces differ in length.
	const mean = (4 + longest) / 2
	chance := literal * mean / (literal*mean + (1-literal)*piece)
	for at := from; at < to; {
		v := rng.Uint64()
		if at < piece || float64(v>>40)/(1<<24) < chance {
			var b [8]byte
			for end := min(at+piece, to); at < end; {
				binary.LittleEndian.PutUint64(b[:], rng.Uint64())
				at += copy(f.buf[at:end], b[:])
			}
			continue
		}
		back := 1 + int(v&0xffffff)%min(at, window)
		n := 4 + int(v>>24&0xffff)%(longest-3)
		for end := min(at+n, to); at < end; at++ {
			f.buf[at] = f.buf[at-back]
		}
	}
}
