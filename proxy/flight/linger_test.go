package flight

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-oci/strata/rechunk/workspace"
)

// read reads a blob from a position on, as one reader of many.
func readFrom(t *testing.T, g *Group, key Key, src *source, from int64) []byte {
	t.Helper()
	r, err := g.Open(t.Context(), key, src.fetch)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Seek(from, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What nobody keeps is there for a while for the next who wants it, or for the rest of it, and then for nobody.
func TestLingers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		data, key := content(300_000)
		src := newSource(data)
		g := New(Options{WorkDir: t.TempDir(), Linger: time.Minute})
		for _, from := range []int64{0, 0, 100_000, int64(len(data)) - 1} {
			if got := readFrom(t, g, key, src, from); !bytes.Equal(got, data[from:]) {
				t.Errorf("from %d: %d bytes", from, len(got))
			}
			time.Sleep(50 * time.Second) // each reader begins the minute anew
			synctest.Wait()
		}
		if n := src.fetches.Load(); n != 1 {
			t.Errorf("fetched %d times", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if len(g.Running()) != 0 {
			t.Error("it is still there")
		}
		readFrom(t, g, key, src, 0)
		if n := src.fetches.Load(); n != 2 {
			t.Errorf("fetched %d times", n)
		}
		if err := g.Close(context.Background()); err != nil || len(g.Running()) != 0 {
			t.Errorf("%v, %d are left", err, len(g.Running()))
		}
	})
}

// What lingers gives its space to what comes, but not under who reads it.
func TestLingersWithinSpace(t *testing.T) {
	t.Parallel()
	a, keyA := content(300_000)
	b, keyB := content(300_001)
	space := workspace.New(400_000)
	g := New(Options{WorkDir: t.TempDir(), Linger: time.Hour, Space: space})
	one, two := newSource(a), newSource(b)
	readFrom(t, g, keyA, one, 0)
	if got := readFrom(t, g, keyB, two, 0); !bytes.Equal(got, b) {
		t.Errorf("%d bytes of the second", len(got))
	}
	reads, err := g.Open(t.Context(), keyB, two.fetch)
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	r, err := g.Open(t.Context(), keyA, one.fetch)
	if err == nil {
		_, err = io.ReadAll(r)
		_ = r.Close()
	}
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("beside one that is read: %v", err)
	}
	if got, err := io.ReadAll(reads); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := g.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A failed one does not linger.
func TestFailedDoesNotLinger(t *testing.T) {
	t.Parallel()
	data, key := content(1000)
	src := newSource(data)
	src.end = errCorrupt
	g := New(Options{WorkDir: t.TempDir(), Linger: time.Hour})
	for range 2 {
		r, err := g.Open(t.Context(), key, src.fetch)
		if err == nil { // it may have failed before it was opened
			_, err = io.ReadAll(r)
			_ = r.Close()
		}
		if !errors.Is(err, errCorrupt) {
			t.Error(err)
		}
	}
	if n := src.fetches.Load(); n != 2 {
		t.Errorf("fetched %d times", n)
	}
	if err := g.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
