package residual

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// place is that of the i-th run.
func place(i int) Place {
	return Place{Source: uint32(i / 4), At: int64(i%4) << 14, Made: int64(i) << 13, Machine: Machine(i % 4)}
}

// code codes runs of differences in pieces.
func code(old, diff [][]byte) [][]byte {
	e := NewEncoder()
	var pieces [][]byte
	for i := range old {
		e.Add(place(i), old[i], diff[i])
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
			if err := d.Add(place(i), got); err != nil {
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
	if want := "b47e8e684193b4f645851266ac93a097816465e5f27dc953b288860a49d0c8da"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

// A piece that is cut off or goes on is found out.
func TestPiecesThatAreWrong(t *testing.T) {
	t.Parallel()
	old := make([]byte, 1000)
	diff := bytes.Repeat([]byte{1, 0, 200, 3}, 250)
	e := NewEncoder()
	e.Add(Place{}, old, diff)
	piece := bytes.Clone(e.Flush())
	for _, p := range [][]byte{piece[:len(piece)-1], append(piece, 0), nil} {
		d := NewDecoder()
		d.Begin(p)
		if err := errors.Join(d.Add(Place{}, bytes.Clone(old)), d.End()); !errors.Is(err, ErrInvalid) {
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
	e.Add(Place{}, old, diff)
	if n := len(e.Flush()); n > 2500 {
		t.Errorf("%d bytes", n)
	}
}

// caller is code that calls functions, which lie at some places, and has a table of them.
func caller(machine Machine, functions []int) []byte {
	r := rand.New(rand.NewPCG(1, 5))
	b := make([]byte, 1<<17)
	for i := range b {
		b[i] = byte(r.IntN(256)) | 0x10
	}
	for i := 64; i < 1<<16; i += 32 {
		at := functions[r.IntN(len(functions))]
		if machine == AArch64 {
			binary.LittleEndian.PutUint32(b[i:], 0x94000000|uint32((at-i)/4)&0x3ffffff)
		} else {
			b[i] = 0xe8
			binary.LittleEndian.PutUint32(b[i+1:], uint32(at-i-5))
		}
	}
	for i, at := range functions {
		binary.LittleEndian.PutUint64(b[1<<16+8*i:], uint64(at))
	}
	return b
}

// Addresses that change since what they lead to has moved take next to nothing, once it is known by how much.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, machine := range []Machine{X8664, AArch64} {
		r := rand.New(rand.NewPCG(1, 6))
		var was, is []int
		moved := 0
		for i := range 500 {
			moved += r.IntN(50) * 4
			was, is = append(was, 1<<17+i*256), append(is, 1<<17+i*256+moved)
		}
		old, now := caller(machine, was), caller(machine, is)
		diff := make([]byte, len(old))
		for i := range old {
			diff[i] = now[i] - old[i]
		}
		sizes := map[Machine]int{}
		for _, m := range []Machine{None, machine} {
			e, d := NewEncoder(), NewDecoder()
			p := Place{Source: 1, At: 0, Made: 4096, Machine: m}
			e.Add(p, old, diff)
			piece := e.Flush()
			sizes[m] = len(piece)
			d.Begin(piece)
			got := bytes.Clone(old)
			if err := errors.Join(d.Add(p, got), d.End()); err != nil || !bytes.Equal(got, now) {
				t.Errorf("machine %d: wrong bytes, %v", m, err)
			}
		}
		if sizes[machine] > sizes[None]/2 {
			t.Errorf("machine %d: %d bytes, and %d without", machine, sizes[machine], sizes[None])
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte{}, uint16(100), int64(0), int64(0), byte(0))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint16(4), int64(1)<<40, int64(-5), byte(1))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint16(400), int64(-1), int64(1)<<62, byte(2))
	f.Fuzz(func(_ *testing.T, piece []byte, n uint16, at, made int64, machine byte) {
		p := Place{At: at, Made: made, Machine: Machine(machine)}
		d := NewDecoder()
		d.Begin(piece)
		_ = errors.Join(d.Add(p, make([]byte, n)), d.End())
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
	e.Add(Place{}, old, diff)
	piece := e.Flush()

	d := NewDecoder()
	d.Begin(piece)
	if err := errors.Join(d.Add(Place{}, old), d.End()); err != nil {
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
	e.Add(Place{}, old, diff)
	piece := e.Flush()
	b.SetBytes(MaxRun)
	for b.Loop() {
		d := NewDecoder()
		d.Begin(piece)
		if err := d.Add(Place{}, bytes.Clone(old)); err != nil {
			b.Fatal(err)
		}
	}
}
