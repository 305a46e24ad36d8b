package delta

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// What Make writes, Apply makes the layer of; the same delta for any number of workers.
func TestApplyMakesTheLayer(t *testing.T) {
	t.Parallel()
	for n := range uint64(25) {
		r := rand.New(rand.NewPCG(n, 2))
		old := randomFiles(r)
		target, want := mutated(r, old).target(t)
		scratch := &temp{}
		delta, _ := made(t, target, old, Options{Scratch: scratch, Parallel: 3})
		target.Tar = bytes.NewReader(want)
		if again, _ := made(t, target, old, Options{Scratch: scratch}); !bytes.Equal(again, delta) {
			t.Errorf("seed %d: another delta with one worker", n)
		}
		got, err := applied(t.Context(), delta, old, ApplyOptions{Scratch: scratch})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("seed %d: %d bytes, not the %d of the layer: %v", n, len(got), len(want), err)
		}
		if scratch.open.Load() != 0 {
			t.Errorf("seed %d: %d temporary files are left", n, scratch.open.Load())
		}
	}
}

// A seed whose files were altered, cut off or removed gives the layer or ErrSource, never other bytes and no error.
func TestSeedsThatAreWrong(t *testing.T) {
	t.Parallel()
	wrong := 0
	for n := range uint64(80) {
		r := rand.New(rand.NewPCG(n, 3))
		old := randomFiles(r)
		target, want := mutated(r, old).target(t)
		delta, _ := made(t, target, old, Options{Scratch: &temp{}})
		seed := maps.Clone(old)
		paths := slices.Sorted(maps.Keys(seed))
		p := paths[r.IntN(len(paths))]
		b := bytes.Clone(seed[p])
		switch r.IntN(3) {
		case 0:
			delete(seed, p)
		case 1:
			seed[p] = b[:len(b)/2]
		case 2:
			for range 20 {
				if len(b) > 0 {
					b[r.IntN(len(b))]++
				}
			}
			seed[p] = b
		}
		got, err := applied(t.Context(), delta, seed, ApplyOptions{Scratch: &temp{}})
		switch {
		case err == nil && !bytes.Equal(got, want):
			t.Fatalf("seed %d: wrong bytes and no error", n)
		case err != nil && !errors.Is(err, ErrSource):
			t.Fatalf("seed %d: %v", n, err)
		case err != nil:
			wrong++
		}
	}
	if wrong < 10 {
		t.Errorf("only %d seeds were found to be wrong", wrong)
	}
}

// A delta that was damaged ends in one of the package's errors.
func TestDeltasThatAreDamaged(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 4))
	old := randomFiles(r)
	target, want := mutated(r, old).target(t)
	delta, _ := made(t, target, old, Options{Scratch: &temp{}})
	for range 300 {
		b := bytes.Clone(delta)
		if r.IntN(2) == 0 {
			b = b[:r.IntN(len(b))]
		} else {
			b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		}
		got, err := applied(t.Context(), b, old, ApplyOptions{Scratch: &temp{}})
		if err == nil && !bytes.Equal(got, want) || err != nil && !known(err) {
			t.Fatalf("%d bytes: %v", len(got), err)
		}
	}
}

// Nothing comes of a batch that was damaged: all bytes that are passed on are right.
func TestBatchesThatAreDamaged(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 6))
	old := randomFiles(r)
	target, want := mutated(r, old).target(t)
	delta, _ := made(t, target, old, Options{Scratch: &temp{}})
	whole := bytes.NewReader(delta)
	if _, err := Open(whole, Limits{}); err != nil {
		t.Fatal(err)
	}
	for range 60 {
		i := len(delta) - 1 - r.IntN(whole.Len())
		b := bytes.Clone(delta)
		b[i] ^= byte(1 + r.IntN(255))
		got, err := applied(t.Context(), b, old, ApplyOptions{Scratch: &temp{}})
		if !errors.Is(err, ErrInvalid) || !bytes.HasPrefix(want, got) {
			t.Fatalf("byte %d of %d: %d bytes, %v", i, len(delta), len(got), err)
		}
	}
}

func FuzzApply(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 5))
	old := randomFiles(r)
	target, want := mutated(r, old).target(f)
	delta, _ := made(f, target, old, Options{Scratch: &temp{}})
	f.Add(delta)
	f.Add(delta[:len(delta)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := applied(t.Context(), b, old, ApplyOptions{Scratch: &temp{}})
		if err != nil && !known(err) {
			t.Fatal(err)
		}
		if err == nil && !bytes.Equal(got, want) && len(got) == len(want) && bytes.HasPrefix(b, delta[:100]) {
			t.Fatal("other bytes and no error")
		}
	})
}

// The memory that matching takes of large files does not depend on the number of workers, nor does the delta.
func TestWorkersShareMemory(t *testing.T) {
	t.Parallel()
	old := noise(6<<20, 5)
	var now []byte
	r := rand.New(rand.NewPCG(1, 12))
	for range 100 {
		at := r.IntN(len(old) - 60_000)
		now = append(now, old[at:at+60_000]...)
	}
	seed := files{"usr/lib/large": old}
	target, want := files{"usr/lib/large": now, "usr/lib/small": edited(old[:200_000])}.target(t)
	var delta []byte
	for _, parallel := range []int{1, 2, 8} {
		target.Tar = bytes.NewReader(want)
		again, _ := made(t, target, seed, Options{Scratch: &temp{}, Parallel: parallel, Memory: 64 << 20})
		if delta != nil && !bytes.Equal(again, delta) {
			t.Errorf("%d workers: another delta, of %d bytes, not %d", parallel, len(again), len(delta))
		}
		delta = again
	}
	got, err := applied(t.Context(), delta, seed, ApplyOptions{Scratch: &temp{}})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, not the %d of the layer: %v", len(got), len(want), err)
	}
}
