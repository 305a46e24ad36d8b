package delta

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
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

// A path that is in a layer more than once: the index tells of the last one, which the seed has.
func TestPathsThatComeTwice(t *testing.T) {
	t.Parallel()
	before, last := noise(5000, 1), noise(5000, 2)
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, b := range [][]byte{before, last, before} {
		err := w.WriteHeader(&tar.Header{Name: "etc/twice", Mode: 0o644, Size: int64(len(b)), Typeflag: tar.TypeReg})
		_, err2 := w.Write(b)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for what, old := range map[string]files{
		"the seed has the last": {"usr/x": before}, "the seed has neither": {}, "the seed has the other": {"usr/x": last},
	} {
		target := Target{
			Tar: bytes.NewReader(buf.Bytes()), TarSize: int64(buf.Len()), DiffID: digest.FromBytes(buf.Bytes()),
			Entries: []tree.Entry{{Path: "etc/twice", Kind: tree.Regular, Size: 5000, Digest: sha256.Sum256(before)}},
		}
		delta, _ := made(t, target, old, Options{Scratch: &temp{}, Parallel: 2})
		got, err := applied(t.Context(), delta, old, ApplyOptions{Scratch: &temp{}})
		if err != nil || !bytes.Equal(got, buf.Bytes()) {
			t.Errorf("%s: %d bytes, not the %d of the layer: %v", what, len(got), buf.Len(), err)
		}
	}
}

// A small file is not held against a very large one of the same name.
func TestLikeIsOfALikeSize(t *testing.T) {
	t.Parallel()
	f := NewFinder([]File{{Path: "usr/lib/a", Size: 1 << 30}, {Path: "usr/lib/b", Size: 60 << 10}})
	for _, c := range []struct {
		path string
		size int64
		want int
	}{{"usr/lib/a", 100, 0}, {"usr/lib/a", 100 << 20, 1}, {"opt/a", 100, 0}, {"usr/lib/b", 100, 1}, {"x/b", 1 << 30, 1}} {
		if got := f.Like(c.path, c.size); len(got) != c.want {
			t.Errorf("%s of %d bytes: %v", c.path, c.size, got)
		}
	}
}

// crowd are encoders that count the goroutines that there are.
type crowd struct {
	shop
	most atomic.Int64
}

func (c *crowd) Encode(ctx context.Context, e Encoder, plain io.Reader, wrapped io.Writer) error {
	c.most.Store(max(c.most.Load(), int64(runtime.NumGoroutine())))
	return c.shop.Encode(ctx, e, plain, wrapped)
}

// Parts that wait for their encoders are not begun without end.
func TestPartsThatWait(t *testing.T) {
	t.Parallel()
	empty := zipped(nil)
	sum := sha256.Sum256(empty)
	inner := ops([]int64{8, 2, 0})
	inner = append(appendString(appendString(inner, "gzip"), "1.12"), 0)
	inner = append(binary.AppendUvarint(inner, uint64(len(empty))), sum[:checkBytes]...)
	inner = append(inner, opDone)
	const parts = 20_000
	size := int64(parts * len(empty))
	all := append(ops([]int64{8, 0, size}), bytes.Repeat(inner, parts)...)
	all = append(all, opDone, opEnd)
	c := &crowd{}
	_, err := applied(t.Context(), crafted(t, Header{TarSize: size, Programs: shop{}.Available()}, [streams][]byte{all}),
		files{}, ApplyOptions{Scratch: &temp{}, Encoders: c})
	if !errors.Is(err, ErrEncoder) || c.most.Load() > 2000 { // the diff_id is none
		t.Errorf("%d goroutines: %v", c.most.Load(), err)
	}
}
