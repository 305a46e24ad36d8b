package rechunk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

var errFault = errors.New("injected fault")

// pair are two versions of an image; the second has a layer that is known after the first, and whose contents are wanted
// again.
func pair(tb testing.TB) (first, second *rechunktest.Image) {
	tb.Helper()
	base := []Item{Dir("."), Dir("usr"), File("usr/a", strings.Repeat("a", 5000)), File("usr/b", "b")}
	return source(tb, base), source(tb, base, []Item{Dir("usr").WithMode(0o700), File("usr/c", "c")})
}

// wantSecond is what second becomes after first.
func wantSecond(t *testing.T) digest.Digest {
	t.Helper()
	first, second := pair(t)
	b := newBench(t, &rechunktest.MemoryStore{}, 1)
	b.rechunk(t, first, "test", rules)
	return b.rechunk(t, second, "test", rules).Digest
}

// nothingPublished checks that a failed run of second left no trace that leads anywhere, and that the next run succeeds.
func nothingPublished(t *testing.T, b *bench, before int, want digest.Digest) {
	t.Helper()
	if n := len(b.store.Records(rechunk.KindServed)); n != before {
		t.Errorf("%d served records, %d before", n, before)
	}
	if n := b.store.OpenWriters(); n != 0 {
		t.Errorf("%d writers left open", n)
	}
	if open := openFiles(t, b.work); len(open) > 0 {
		t.Errorf("files left open: %v", open)
	}
	b.store.Fault, b.store.Damage = nil, nil
	_, second := pair(t)
	v, s := b.serve(t, second, rules)
	if v.Digest != want {
		t.Errorf("the next run gives %s, want %s", v.Digest, want)
	}
	same(t, reference(t, []Item{Dir("."), Dir("usr").WithMode(0o700), File("usr/a", strings.Repeat("a", 5000)),
		File("usr/b", "b"),
		File("usr/c", "c")}), s.Tree, true)
}

// openFiles lists what this process has open below a directory.
func openFiles(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(links) == 0 {
		t.Skip("no /proc")
	}
	var out []string
	for _, l := range links {
		if target, err := os.Readlink(l); err == nil && strings.HasPrefix(target, dir) {
			out = append(out, target)
		}
	}
	return out
}

// Whichever call of the store fails, the error comes back, nothing is published, and the next run gives what it would have.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	want := wantSecond(t)
	for n := int64(1); ; n++ {
		first, second := pair(t)
		b := newBench(t, &rechunktest.MemoryStore{}, 1+int(n%3))
		b.rechunk(t, first, "test", rules)
		var calls atomic.Int64
		var failed atomic.Value
		b.store.Fault = func(op rechunktest.Op, name string) error {
			if calls.Add(1) == n {
				failed.Store(string(op) + " " + name)
				return fmt.Errorf("%s: %w", op, errFault)
			}
			return nil
		}
		_, err := b.Rechunk(t.Context(), second.Request("test", rules))
		if err == nil && calls.Load() < n {
			if n < 20 {
				t.Fatalf("only %d calls", n)
			}
			return
		}
		if !errors.Is(err, errFault) {
			t.Fatalf("call %d (%v) failed: %v", n, failed.Load(), err)
		}
		if nothingPublished(t, b, 1, want); t.Failed() {
			t.Fatalf("after call %d (%v) failed", n, failed.Load())
		}
	}
}

// Whenever the context ends, the run does, and nothing is half done.
func TestCancellation(t *testing.T) {
	t.Parallel()
	want := wantSecond(t)
	for n := int64(1); ; n++ {
		first, second := pair(t)
		b := newBench(t, &rechunktest.MemoryStore{}, 1+int(n%3))
		b.rechunk(t, first, "test", rules)
		ctx, cancel := context.WithCancelCause(t.Context())
		var calls atomic.Int64
		tick := func() error {
			if calls.Add(1) == n {
				cancel(errFault)
			}
			return nil
		}
		b.store.Fault = func(rechunktest.Op, string) error { return tick() }
		second.Fault = func(context.Context, digest.Digest) error { return tick() }
		_, err := b.Rechunk(ctx, second.Request("test", rules))
		cancel(nil)
		if calls.Load() < n {
			return
		}
		if !errors.Is(err, errFault) && !errors.Is(err, context.Canceled) {
			t.Fatalf("ended at call %d: %v", n, err)
		}
		if nothingPublished(t, b, 1, want); t.Failed() {
			t.Fatalf("after the end at call %d", n)
		}
	}
}

func TestSourceFaults(t *testing.T) {
	t.Parallel()
	want := wantSecond(t)
	for name, wrap := range map[string]func(r io.Reader) io.Reader{
		"breaks at once": func(io.Reader) io.Reader { return iotest.ErrReader(errFault) },
		"breaks in the middle": func(r io.Reader) io.Reader {
			return io.MultiReader(io.LimitReader(r, 60), iotest.ErrReader(errFault))
		},
		"wrong at the end": func(r io.Reader) io.Reader { return io.MultiReader(r, iotest.ErrReader(errFault)) },
		"one byte at a time, then breaks": func(r io.Reader) io.Reader {
			return iotest.OneByteReader(io.MultiReader(r, iotest.ErrReader(errFault)))
		},
	} {
		for _, at := range []string{"config", "layer"} {
			t.Run(at+" "+name, func(t *testing.T) {
				t.Parallel()
				first, second := pair(t)
				b := newBench(t, &rechunktest.MemoryStore{}, 2)
				b.rechunk(t, first, "test", rules)
				second.Wrap = func(d digest.Digest, r io.Reader) io.Reader {
					if isLayer := d == second.Layers[1]; isLayer == (at == "layer") {
						return wrap(r)
					}
					return r
				}
				if _, err := b.Rechunk(t.Context(), second.Request("test", rules)); !errors.Is(err, errFault) {
					t.Errorf("%v", err)
				}
				nothingPublished(t, b, 1, want)
			})
		}
	}
}

// What a store gives back is compared with what was to be served: whether the store finds the damage, or breaks its promise
// and does not.
func TestReadBack(t *testing.T) {
	t.Parallel()
	for _, lie := range []bool{false, true} {
		t.Run(fmt.Sprint("unnoticed ", lie), func(t *testing.T) { testReadBack(t, lie) })
	}
}

func testReadBack(t *testing.T, lie bool) {
	t.Parallel()
	want := wantSecond(t)
	for name, change := range map[string]func([]byte) []byte{
		"a bit flips":     flipped,
		"the first bit":   func(b []byte) []byte { return append([]byte{b[0] ^ 1}, b[1:]...) },
		"the last byte":   func(b []byte) []byte { return append(b[:len(b)-1:len(b)-1], b[len(b)-1]^0x80) },
		"cut":             func(b []byte) []byte { return b[:len(b)-3] },
		"empty":           func([]byte) []byte { return nil },
		"something added": func(b []byte) []byte { return append(b[:len(b):len(b)], 0) },
		"added twice":     func(b []byte) []byte { return append(b[:len(b):len(b)], b...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := pair(t)
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			v, _ := b.serve(t, first, rules)
			var last atomic.Value
			b.store.Fault = func(op rechunktest.Op, name string) error {
				if op == rechunktest.Commit {
					last.Store(name)
				}
				return nil
			}
			harm := func(d digest.Digest, blob []byte) []byte {
				if last.Load() == d.String() && d != v.Layers[0].Digest && blob[0] == 0x28 {
					return change(blob)
				}
				return blob
			}
			if b.store.Damage = harm; lie {
				b.store.Damage, b.store.Lie = nil, harm
			}
			_, err := b.Rechunk(t.Context(), second.Request("test", rules))
			if lie && !errors.Is(err, layer.ErrMismatch) || !lie && !errors.Is(err, layer.ErrMismatch) &&
				!errors.Is(err, rechunk.ErrNotFound) {
				t.Errorf("%v", err)
			}
			b.store.Lie = nil
			nothingPublished(t, b, 1, want)
		})
	}
}

func TestWorkDirIsMissing(t *testing.T) {
	t.Parallel()
	first, _ := pair(t)
	s := &rechunktest.MemoryStore{}
	e := rechunk.New(rechunk.Config{Store: s, Records: s, WorkDir: filepath.Join(t.TempDir(), "none")})
	if _, err := e.Rechunk(t.Context(), first.Request("test", rules)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := e.Inspect(t.Context(), first.Request("", rechunk.Options{})); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
