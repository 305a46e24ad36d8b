package match

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func apply(t *testing.T, old []Source, size int64, ops []Op) []byte {
	t.Helper()
	var out []byte
	for _, op := range ops {
		if op.Source < 0 {
			out = append(out, op.Data...)
			continue
		}
		b := make([]byte, op.Length)
		if err := readAt(old[op.Source], b, op.At); err != nil {
			t.Fatal(err)
		}
		for i := range op.Data {
			b[i] += op.Data[i]
		}
		out = append(out, b...)
	}
	return out
}

// Whatever is matched, what the ops make is the new content.
func TestMatchMakesTheNew(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		var old []Source
		var all []byte
		for range r.IntN(4) {
			b := words(r, r.IntN(1<<20))
			all = append(all, b...)
			old = append(old, bytes.NewReader(b))
		}
		data := mutate(r, all)
		for _, small := range []bool{false, true} {
			var ops []Op
			keep := func(op Op) error {
				op.Data = bytes.Clone(op.Data)
				ops = append(ops, op)
				return nil
			}
			m := &run{Matcher: New(old, Options{Memory: 16 << 20}), new: bytes.NewReader(data), emit: keep}
			match := m.whole
			if small {
				m.window = 128 << 10
				match = m.windows
			}
			if err := match(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := apply(t, old, int64(len(data)), ops); !bytes.Equal(got, data) {
				t.Fatalf("seed %d, small %v: %d bytes of %d are wrong", seed, small, len(got), len(data))
			}
		}
	}
}

// words makes bytes that repeat themselves now and then, as a program's do.
func words(r *rand.Rand, n int) []byte {
	var dict [64][]byte
	for i := range dict {
		dict[i] = make([]byte, 1+r.IntN(40))
		for k := range dict[i] {
			dict[i][k] = byte(r.IntN(256))
		}
	}
	var b []byte
	for len(b) < n {
		b = append(b, dict[r.IntN(len(dict))]...)
		if r.IntN(3) == 0 {
			b = append(b, byte(r.IntN(256)), byte(r.IntN(256)))
		}
	}
	return b[:n]
}

// mutate changes, inserts, moves and removes runs.
func mutate(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range r.IntN(200) {
		if len(b) < 100 {
			break
		}
		p := r.IntN(len(b) - 50)
		switch r.IntN(4) {
		case 0:
			b[p]++
		case 1:
			b = append(b[:p:p], append(words(r, r.IntN(100)), b[p:]...)...)
		case 2:
			b = append(b[:p:p], b[p+r.IntN(50):]...)
		case 3:
			q := r.IntN(len(b) - 50)
			copy(b[p:p+50], bytes.Clone(b[q:q+50]))
		}
	}
	return b
}
