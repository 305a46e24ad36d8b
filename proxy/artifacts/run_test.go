package artifacts

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/name/nametest"
)

// What failed is tried again after pauses that grow, and is bounded: what is due last is left out.
func TestFailures(t *testing.T) {
	t.Parallel()
	var f failures
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	image := func(n int) published {
		return published{nametest.Repository("registry.example/os"), digest.FromBytes([]byte{byte(n), byte(n >> 8)})}
	}
	for _, want := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute} {
		at := f.add(image(0), now)
		if at.Sub(now) != want || !f.has(image(0), now) || f.has(image(0), at) || !f.due().Equal(at) {
			t.Fatalf("again after %s, want %s", at.Sub(now), want)
		}
		if _, ok := f.take(at.Add(-time.Second)); ok {
			t.Fatal("it is tried early")
		}
		now = at
		if p, ok := f.take(now); !ok || p != image(0) || !f.due().IsZero() {
			t.Fatal("it is not tried")
		}
		if _, ok := f.take(now); ok {
			t.Fatal("it is tried twice")
		}
	}
	for range 20 {
		if at := f.add(image(0), now); at.Sub(now) > lastPause {
			t.Fatalf("again after %s", at.Sub(now))
		}
	}
	for n := range maxFailures {
		f.add(image(n+1), now)
	}
	if len(f) != maxFailures || f.has(image(0), now) {
		t.Errorf("%d are remembered", len(f))
	}
	f.forget(image(1))
	if f.has(image(1), now) || len(f) != maxFailures-1 {
		t.Error("it is not forgotten")
	}
}

// A gc knows of an artifact that is being made, whose blobs no record leads to yet.
func TestRelying(t *testing.T) {
	t.Parallel()
	work := background.New(background.Options{})
	a := New(Options{Work: work})
	failed := errors.New("failed")
	err := a.relying(t.Context(), func(context.Context) error {
		if oldest, _ := work.Activity(); oldest.IsZero() {
			t.Error("nobody knows")
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Error(err)
	}
	var panicked *background.PanicError
	if err := a.relying(t.Context(), func(context.Context) error { panic("x") }); !errors.As(err, &panicked) {
		t.Error(err)
	}
	if err := work.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if oldest, _ := work.Activity(); !oldest.IsZero() {
		t.Error("it goes on")
	}
	if err := a.relying(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, background.ErrClosed) {
		t.Error(err)
	}
}
