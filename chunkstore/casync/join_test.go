package casync_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/strata-oci/strata/chunkstore/casync"
)

// joined joins streams, every second of which was cut by itself, and compares the chunks with those of all of it. It returns
// how many bytes were read of those that were cut.
func joined(t testing.TB, streams [][]byte, s casync.Sizes) (read int) {
	t.Helper()
	var parts []casync.Part
	var all []byte
	for i, b := range streams {
		all = append(all, b...)
		if i%2 == 0 {
			parts = append(parts, casync.Part{Bytes: b})
			continue
		}
		x := indexOf(t, b, s)
		parts = append(parts, casync.Part{Chunks: x.Chunks, Open: func(chunk int) (io.ReadCloser, error) {
			offset := 0
			for _, c := range x.Chunks[:chunk] {
				offset += c.Size
			}
			return io.NopCloser(io.TeeReader(bytes.NewReader(b[offset:]), counter{&read})), nil
		}})
	}
	var got []casync.Chunk
	err := casync.Join(parts, s, casync.Joined{
		Own: func(content []byte) error {
			got = append(got, casync.Chunk{ID: casync.Sum(content), Size: len(content)})
			return nil
		},
		Kept: func(part, from, to int) error {
			got = append(got, parts[part].Chunks[from:to]...)
			return nil
		},
	})
	if want := indexOf(t, all, s).Chunks; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v; %d chunks, not the %d of the whole stream", err, len(got), len(want))
	}
	return read
}

type counter struct{ n *int }

func (c counter) Write(p []byte) (int, error) {
	*c.n += len(p)
	return len(p), nil
}

func TestJoin(t *testing.T) {
	t.Parallel()
	s := casync.Sizes{1 << 10, 4 << 10, 16 << 10}
	random := rand.New(rand.NewChaCha8([32]byte{9}))
	for range 60 {
		var streams [][]byte
		for range random.IntN(9) {
			size := []int{0, 1, 512, 1000, 20_000, 400_000}[random.IntN(6)]
			b := stream(byte(random.IntN(256)), size)
			if random.IntN(4) == 0 {
				clear(b) // cuts that only the greatest length makes never meet
			}
			streams = append(streams, b)
		}
		joined(t, streams, s)
	}
	large := [][]byte{stream(1, 700), stream(2, 4<<20), stream(3, 512), stream(4, 4<<20), stream(5, 9)}
	if read := joined(t, large, s); read > 6<<20 {
		t.Errorf("%d of 8 MiB were read", read)
	}
}

func TestJoinFails(t *testing.T) {
	t.Parallel()
	s := casync.DefaultSizes()
	broken := errors.New("broken")
	x := indexOf(t, stream(1, 1<<20), s)
	parts := []casync.Part{{Bytes: []byte("x")}, {Chunks: x.Chunks, Open: func(int) (io.ReadCloser, error) {
		return nil, broken
	}}}
	none := casync.Joined{Own: func([]byte) error { return nil }, Kept: func(int, int, int) error { return nil }}
	if err := casync.Join(parts, s, none); !errors.Is(err, broken) {
		t.Error(err)
	}
	parts[1].Open = func(chunk int) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stream(1, 1<<20))), nil }
	none.Own = func([]byte) error { return broken }
	if err := casync.Join(parts, s, none); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func FuzzJoin(f *testing.F) {
	f.Add([]byte("\x10\x20\x30\x40"), uint16(48), uint16(60), uint16(200))
	f.Fuzz(func(t *testing.T, lengths []byte, a, m, z uint16) {
		s := casync.Sizes{int(a), int(m), int(z)}
		if s.Check() != nil || len(lengths) > 12 {
			return
		}
		var streams [][]byte
		for i, n := range lengths {
			b := stream(n, 16*int(n))
			if i%5 == 4 {
				clear(b)
			}
			streams = append(streams, b)
		}
		joined(t, streams, s)
	})
}

func ExampleJoin() {
	s := casync.Sizes{Min: 48, Avg: 64, Max: 256}
	layer := stream(1, 1000)
	var chunks []casync.Chunk
	err := casync.Cut(bytes.NewReader(layer), s, func(content []byte) error {
		chunks = append(chunks, casync.Chunk{ID: casync.Sum(content), Size: len(content)})
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	own, kept := 0, 0
	err = casync.Join([]casync.Part{
		{Bytes: []byte("what is before the layer")},
		{Chunks: chunks, Open: func(n int) (io.ReadCloser, error) {
			for _, c := range chunks[:n] {
				layer = layer[c.Size:]
			}
			return io.NopCloser(bytes.NewReader(layer)), nil
		}},
	}, s, casync.Joined{
		Own:  func([]byte) error { own++; return nil },
		Kept: func(_, from, to int) error { kept += to - from; return nil },
	})
	fmt.Println(kept > own, err)
	// Output: true <nil>
}
