package pulls_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/pulls"
)

func d(name string, n ...any) digest.Digest { return digest.FromString(name + fmt.Sprint(n...)) }

func list(l ...digest.Digest) func() []digest.Digest { return func() []digest.Digest { return l } }

// counters can fail, and count how often they were written.
type counters struct {
	pulls.Counters
	fail  error
	calls int
}

func (c *counters) Add(ctx context.Context, m digest.Digest, delta pulls.Counts) error {
	c.calls++
	if c.fail != nil {
		return c.fail
	}
	return c.Counters.Add(ctx, m, delta)
}

func newCounters(t *testing.T) *counters {
	return &counters{Counters: pulls.NewRecorded(catalog.New(openStore(t, inmemory.New()), nil).Pulls)}
}

func wantCounts(t *testing.T, get func(context.Context, digest.Digest) (pulls.Counts, error), m digest.Digest,
	layers map[digest.Digest]int64) {
	t.Helper()
	got, err := get(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(layers, got.Layers); diff != "" {
		t.Errorf("%.13s (-want +got):\n%s", m, diff)
	}
}

// A layer that several images have belongs to the one that was asked for last.
func TestTallyAttributes(t *testing.T) {
	t.Parallel()
	c := newCounters(t)
	tally := pulls.New(pulls.Options{Counters: c})
	stable, testing := list(d("base"), d("one")), list(d("base"), d("two"))
	tally.Layer(d("base")) // of no image that is known
	tally.Manifest(d("stable"), stable)
	tally.Layer(d("base"))
	tally.Manifest(d("testing"), testing)
	tally.Layer(d("base"))
	tally.Layer(d("one"))
	tally.Manifest(d("stable"), func() []digest.Digest { t.Error("layers are asked for again"); return nil })
	tally.Layer(d("base"))
	tally.Layer(d("no layer"))
	for range 2 { // from memory, then from the counters
		wantCounts(t, tally.Counts, d("stable"), map[digest.Digest]int64{d("base"): 2, d("one"): 1})
		wantCounts(t, tally.Counts, d("testing"), map[digest.Digest]int64{d("base"): 1})
		if err := tally.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantCounts(t, c.Get, d("stable"), map[digest.Digest]int64{d("base"): 2, d("one"): 1})
	tally.Layer(d("one"))
	wantCounts(t, tally.Counts, d("stable"), map[digest.Digest]int64{d("base"): 2, d("one"): 2})
}

// The time of the last pull is written once an hour, however many clients come.
func TestTallyLastPull(t *testing.T) {
	t.Parallel()
	c := newCounters(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)
	now := start
	tally := pulls.New(pulls.Options{Counters: c, Now: func() time.Time { return now }})
	for minute := range 150 {
		now = start.Add(time.Duration(minute) * time.Minute)
		tally.Manifest(d("image"), list(d("layer")))
		if err := tally.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last, err := tally.LastPull(t.Context(), d("image"))
	if want := start.Add(2 * time.Hour).Truncate(time.Second); err != nil || !last.Equal(want) || c.calls != 3 {
		t.Errorf("last pull %s, want %s; %d writes; %v", last, want, c.calls, err)
	}
	if last, err := tally.LastPull(t.Context(), d("other")); err != nil || !last.IsZero() {
		t.Errorf("never pulled: %s, %v", last, err)
	}
}

// What cannot be passed on is not lost.
func TestTallyKeepsWhatFails(t *testing.T) {
	t.Parallel()
	c := newCounters(t)
	c.fail = errors.New("disk full")
	tally := pulls.New(pulls.Options{Counters: c})
	tally.Manifest(d("image"), list(d("layer")))
	for range 3 {
		tally.Layer(d("layer"))
		if err := tally.Flush(t.Context()); !errors.Is(err, c.fail) {
			t.Errorf("got %v", err)
		}
	}
	c.fail = nil
	if err := tally.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	wantCounts(t, c.Get, d("image"), map[digest.Digest]int64{d("layer"): 3})
}

// Images that nobody has asked for in a long time leave the memory; what was counted for them stays.
func TestTallyBounded(t *testing.T) {
	t.Parallel()
	c := newCounters(t)
	tally := pulls.New(pulls.Options{Counters: c})
	tally.Manifest(d("first"), list(d("shared"), d("own")))
	tally.Layer(d("own"))
	for i := range 1024 {
		tally.Manifest(d("image", i), list(d("shared")))
	}
	tally.Layer(d("own"))
	tally.Layer(d("shared"))
	wantCounts(t, tally.Counts, d("first"), map[digest.Digest]int64{d("own"): 1})
	wantCounts(t, tally.Counts, d("image", 1023), map[digest.Digest]int64{d("shared"): 1})
}

// Run flushes now and then, and what is left at its end.
func TestTallyRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounters(t)
		tally := pulls.New(pulls.Options{Counters: c})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); tally.Run(ctx) }()
		tally.Manifest(d("image"), list(d("layer")))
		tally.Layer(d("layer"))
		time.Sleep(90 * time.Second)
		synctest.Wait()
		wantCounts(t, c.Get, d("image"), map[digest.Digest]int64{d("layer"): 1})
		tally.Layer(d("layer"))
		stop()
		<-ended
		wantCounts(t, c.Get, d("image"), map[digest.Digest]int64{d("layer"): 2})
	})
}

func TestTallyNil(t *testing.T) {
	t.Parallel()
	var tally *pulls.Tally
	tally.Manifest(d("image"), nil)
	tally.Layer(d("layer"))
	if err := tally.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	wantCounts(t, tally.Counts, d("image"), nil)
}
