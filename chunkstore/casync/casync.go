// Package casync cuts streams into chunks as casync and desync do, writes and reads their index files and their chunks, so
// that these programs can fetch what is new in an image by its chunks. docs/formats.md#casync says what the bytes are. It
// reads and writes streams, and keeps nothing.
package casync

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// window is how many bytes the rolling hash sees.
const window = 48

// Bounds of sizes, in bytes. What casync makes of an average beyond mostAvg is no number of bytes.
const (
	leastSize = window
	mostAvg   = 8 << 20
	mostSize  = 128 << 20
)

// Sizes are those of chunks, in bytes.
type Sizes struct{ Min, Avg, Max int }

// DefaultSizes returns casync's own: 16, 64 and 256 KiB.
func DefaultSizes() Sizes { return Sizes{16 << 10, 64 << 10, 256 << 10} }

// Check returns what is wrong with the sizes.
func (s Sizes) Check() error {
	if s.Min < leastSize || s.Min > s.Avg || s.Avg > s.Max || s.Avg > mostAvg || s.Max > mostSize {
		return fmt.Errorf("chunks cannot be of %s: write MIN:AVG:MAX in KiB and ascending order, MIN from 1, AVG to %d, "+
			"MAX to %d, as in 16:64:256",
			s, mostAvg>>10, mostSize>>10)
	}
	return nil
}

// ParseSizes reads MIN:AVG:MAX in KiB, "16:64:256", as desync writes them.
func ParseSizes(text string) (Sizes, error) {
	var n [3]int
	parts := strings.Split(text, ":")
	if len(parts) != len(n) {
		return Sizes{}, fmt.Errorf("%.40q: write MIN:AVG:MAX in KiB, as in 16:64:256", text)
	}
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 31)
		if errors.Is(err, strconv.ErrRange) {
			v, err = math.MaxInt32, nil // which Check refuses, and says why
		}
		if err != nil {
			return Sizes{}, fmt.Errorf("%.40q: write MIN:AVG:MAX in KiB, as in 16:64:256", text)
		}
		n[i] = int(v) << 10
	}
	s := Sizes{n[0], n[1], n[2]}
	return s, s.Check()
}

// String returns what ParseSizes reads; sizes that are no multiples of a KiB are rounded down.
func (s Sizes) String() string { return fmt.Sprintf("%d:%d:%d", s.Min>>10, s.Avg>>10, s.Max>>10) }

// discriminator is what casync makes of the average: one in so many hashes ends a chunk.
func (s Sizes) discriminator() uint32 {
	avg := float64(s.Avg)
	return uint32(avg / (-1.42888852e-7*avg + 1.33237515))
}

// ID names a chunk: the SHA-512/256 of its bytes.
type ID [sha512.Size256]byte

// Sum returns the ID of a chunk's bytes.
func Sum(content []byte) ID { return sha512.Sum512_256(content) }

// ParseID reads 64 lower-case hex digits.
func ParseID(text string) (id ID, err error) {
	if len(text) != hex.EncodedLen(len(id)) || strings.ToLower(text) != text {
		return id, errors.New("a chunk's name has 64 lower-case hex digits")
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return ID{}, fmt.Errorf("a chunk's name: %w", err)
	}
	return id, nil
}

// String returns the ID in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Chunk is a part of a stream.
type Chunk struct {
	ID   ID
	Size int
}

// Cut reads a stream to its end and calls each with its chunks in order; an error of each ends it and is returned as it is.
// The bytes are valid until each returns. Where to cut depends on the bytes since the last cut alone.
func Cut(r io.Reader, s Sizes, each func(content []byte) error) error {
	if err := s.Check(); err != nil {
		return err
	}
	d := s.discriminator()
	buf := make([]byte, max(4*s.Max, 128<<10))
	from, have := 0, 0
	for {
		n, err := io.ReadFull(r, buf[have:])
		have += n
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		for have-from >= s.Max || last && have > from {
			size := end(buf[from:min(have, from+s.Max)], s, d)
			if err := each(buf[from : from+size]); err != nil {
				return err
			}
			from += size
		}
		if last {
			return nil
		}
		have = copy(buf, buf[from:have])
		from = 0
	}
}

// end returns where the first chunk of b ends.
func end(b []byte, s Sizes, d uint32) int {
	if len(b) <= s.Min {
		return len(b)
	}
	var h uint32
	for _, c := range b[s.Min-window : s.Min] {
		h = bits.RotateLeft32(h, 1) ^ table[c]
	}
	for i, out := s.Min, b[s.Min-window:]; i < len(b); i++ {
		if h%d == d-1 {
			return i
		}
		h = bits.RotateLeft32(h, 1) ^ bits.RotateLeft32(table[out[i-s.Min]], window) ^ table[b[i]]
	}
	return len(b)
}
