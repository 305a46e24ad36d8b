package residual

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// code codes runs of differences in pieces.
func code(old, diff [][]byte) [][]byte {
	e := NewEncoder()
	var pieces [][]byte
	for i := range old {
		e.Add(old[i], diff[i])
		if i%3 == 2 || i == len(old)-1 {
			pieces = append(pieces, bytes.Clone(e.Flush()))
		}
	}
	return pieces
}

// runs are random old bytes and differences, of some kinds.
func runs(r *rand.Rand) (old, diff [][]byte) {
	for range 1 + r.IntN(20) {
		n := r.IntN(3000)
		o, d := make([]byte, n), make([]byte, n)
		often := r.IntN(200)
		for i := range o {
			o[i] = byte(r.IntN(40))
			if r.IntN(200) < often {
				d[i] = byte(r.IntN(1 + r.IntN(256)))
			}
		}
		old, diff = append(old, o), append(diff, d)
	}
	return old, diff
}

// What is coded is decoded.
func TestDecodesWhatIsCoded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		old, diff := runs(rand.New(rand.NewPCG(seed, 1)))
		d := NewDecoder()
		pieces := code(old, diff)
		for i := range old {
			if i%3 == 0 {
				d.Begin(pieces[i/3])
			}
			got := bytes.Clone(old[i])
			if err := d.Add(got); err != nil {
				t.Fatal(err)
			}
			for k := range got {
				if got[k] != old[i][k]+diff[i][k] {
					t.Fatalf("seed %d, run %d: byte %d is wrong", seed, i, k)
				}
			}
			if i%3 == 2 || i == len(old)-1 {
				if err := d.End(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// The bytes are part of a format: equal on every machine, and in every version.
func TestGolden(t *testing.T) {
	t.Parallel()
	old, diff := runs(rand.New(rand.NewPCG(1, 2)))
	got := fmt.Sprintf("%x", sha256.Sum256(bytes.Join(code(old, diff), nil)))
	if want := "957c80e5a09e2435644f6b391981aa05019b021e82c6804e0a3b55f66179437f"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

// A piece that is cut off or goes on is found out.
func TestPiecesThatAreWrong(t *testing.T) {
	t.Parallel()
	old := make([]byte, 1000)
	diff := bytes.Repeat([]byte{1, 0, 200, 3}, 250)
	e := NewEncoder()
	e.Add(old, diff)
	piece := bytes.Clone(e.Flush())
	for _, p := range [][]byte{piece[:len(piece)-1], append(piece, 0), nil} {
		d := NewDecoder()
		d.Begin(p)
		if err := errors.Join(d.Add(bytes.Clone(old)), d.End()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d of %d bytes: %v", len(p), len(piece), err)
		}
	}
}

// Differences that are mostly 0, and depend on the old bytes, take little.
func TestSizes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 3))
	old, diff := make([]byte, MaxRun), make([]byte, MaxRun)
	for i := 0; i < len(old); i++ {
		old[i] = byte(r.IntN(256))
		if i > 0 && old[i-1] == 0xe8 {
			diff[i] = old[i] & 0x10
		}
	}
	e := NewEncoder()
	e.Add(old, diff)
	if n := len(e.Flush()); n > 2500 {
		t.Errorf("%d bytes", n)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte{}, uint16(100))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint16(4))
	f.Fuzz(func(_ *testing.T, piece []byte, n uint16) {
		d := NewDecoder()
		d.Begin(piece)
		_ = errors.Join(d.Add(make([]byte, n)), d.End())
	})
}

func ExampleEncoder() {
	old := []byte("call 0x1000; call 0x1000; call 0x1000")
	now := []byte("call 0x1200; call 0x1200; call 0x1200")
	diff := make([]byte, len(old))
	for i := range diff {
		diff[i] = now[i] - old[i]
	}
	e := NewEncoder()
	e.Add(old, diff)
	piece := e.Flush()

	d := NewDecoder()
	d.Begin(piece)
	if err := errors.Join(d.Add(old), d.End()); err != nil {
		fmt.Println(err)
	}
	fmt.Println(string(old))
	// Output: call 0x1200; call 0x1200; call 0x1200
}

func BenchmarkDecoder(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 4))
	old, diff := make([]byte, MaxRun), make([]byte, MaxRun)
	for i := range old {
		old[i] = byte(r.IntN(64))
		if r.IntN(20) == 0 {
			diff[i] = byte(r.IntN(8))
		}
	}
	e := NewEncoder()
	e.Add(old, diff)
	piece := e.Flush()
	b.SetBytes(MaxRun)
	for b.Loop() {
		d := NewDecoder()
		d.Begin(piece)
		if err := d.Add(bytes.Clone(old)); err != nil {
			b.Fatal(err)
		}
	}
}
