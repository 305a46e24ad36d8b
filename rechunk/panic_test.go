package rechunk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/rescue"
)

// panicked checks that an error is that of a panic, with the stack of where it was.
func panicked(t *testing.T, err error, where string) {
	t.Helper()
	var p *rescue.PanicError
	if !errors.As(err, &p) || !strings.Contains(string(p.Stack), "panic_test.go") {
		t.Errorf("%s: %v", where, err)
	}
}

// Whichever call of store or source panics, in whatever goroutine, costs that image alone: the panic comes back as an error,
// nothing is left open or locked, and the next run gives what it would have.
func TestPanics(t *testing.T) {
	t.Parallel()
	want := wantSecond(t)
	for n := int64(1); ; n++ {
		first, second := pair(t)
		b := newBench(t, &rechunktest.MemoryStore{}, 1+int(n%3))
		b.rechunk(t, first, "test", rules)
		var calls atomic.Int64
		var where atomic.Value
		tick := func(what string) error {
			if calls.Add(1) == n {
				where.Store(what)
				panic(what)
			}
			return nil
		}
		b.store.Fault = func(op rechunktest.Op, name string) error { return tick(string(op) + " " + name) }
		second.Fault = func(_ context.Context, d digest.Digest) error { return tick("Blob " + d.String()) }
		_, err := b.Rechunk(t.Context(), second.Request("test", rules))
		if err == nil && calls.Load() < n {
			if n < 20 {
				t.Fatalf("only %d calls", n)
			}
			return
		}
		panicked(t, err, fmt.Sprint(where.Load()))
		second.Fault = nil
		if nothingPublished(t, b, 1, want); t.Failed() {
			t.Fatalf("after call %d (%v) panicked", n, where.Load())
		}
	}
}

// Blobs are read in goroutines of the scanner.
func TestReaderPanics(t *testing.T) {
	t.Parallel()
	want := wantSecond(t)
	for _, after := range []int64{0, 1, 60} {
		first, second := pair(t)
		b := newBench(t, &rechunktest.MemoryStore{}, 2)
		b.rechunk(t, first, "test", rules)
		second.Wrap = func(d digest.Digest, r io.Reader) io.Reader {
			return io.MultiReader(io.LimitReader(r, after),
				readFunc(func([]byte) (int, error) { panic("reading " + d.String()) }))
		}
		_, err := b.Rechunk(t.Context(), second.Request("test", rules))
		panicked(t, err, fmt.Sprintf("after %d bytes", after))
		_, err = b.Plan(t.Context(), second.Request("test", rules))
		panicked(t, err, "planning")
		_, err = b.Inspect(t.Context(), second.Request("test", rules))
		panicked(t, err, "inspecting")
		_, err = b.Adopt(t.Context(), second.Request("other", rules))
		panicked(t, err, "adopting")
		second.Wrap = nil
		nothingPublished(t, b, 1, want)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
