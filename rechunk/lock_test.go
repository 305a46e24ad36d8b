package rechunk_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
)

// locker hands out locks that exclude nobody, as to holders that do not know that they lost theirs.
type locker struct {
	fence atomic.Int64
	held  atomic.Int32
	lost  error // what Confirm says
}

func (l *locker) Lock(context.Context, string) (rechunk.Lock, error) {
	l.held.Add(1)
	return &lock{l, l.fence.Add(1)}, nil
}

type lock struct {
	l     *locker
	fence int64
}

func (k *lock) Fence() int64                                                   { return k.fence }
func (k *lock) Bind(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
func (k *lock) Confirm(context.Context) error                                  { return k.l.lost }
func (k *lock) Unlock()                                                        { k.l.held.Add(-1) }

func lockedEngine(t *testing.T, store *rechunktest.MemoryStore, l rechunk.Locker) *rechunk.Engine {
	return rechunk.New(rechunk.Config{Store: store, Records: store, Locker: l, WorkDir: t.TempDir()})
}

// An engine that was paused while another made the next version publishes nothing, and finds the other's lineage when it
// tries again.
func TestFencedLineage(t *testing.T) {
	t.Parallel()
	store, l := &rechunktest.MemoryStore{}, &locker{}
	paused, other := lockedEngine(t, store, l), lockedEngine(t, store, l)
	first, second := source(t, system("1", stamp)), source(t, system("2", stamp))
	overtaken := false
	req := first.Request("fleet", rules)
	req.Progress = func(p rechunk.Progress) {
		if p.Phase != "verify" || overtaken {
			return
		}
		overtaken = true
		if _, err := other.Rechunk(t.Context(), second.Request("fleet", rules)); err != nil {
			t.Errorf("the other: %v", err)
		}
	}
	req.Options.Versions = 10
	if _, err := paused.Rechunk(t.Context(), req); !errors.Is(err, rechunk.ErrFenced) || !overtaken {
		t.Fatalf("overtaken %t, got %v", overtaken, err)
	}
	got, err := paused.Rechunk(t.Context(), first.Request("fleet", rules))
	if err != nil {
		t.Fatal(err)
	}
	versions, err := other.LineageOf(t.Context(), "fleet", got.Platform)
	if err != nil || len(versions) != 2 || versions[0].Digest != got.Digest || got.Sequence != 2 {
		t.Errorf("%d versions, sequence %d, %v", len(versions), got.Sequence, err)
	}
	// Without a locker, as after a return to one process, fences are no obstacle.
	if _, err := lockedEngine(t, store, nil).Rechunk(t.Context(),
		source(t, system("3", stamp)).Request("fleet", rules)); err != nil {
		t.Errorf("without a locker: %v", err)
	}
	if l.held.Load() != 0 {
		t.Errorf("%d locks were not given back", l.held.Load())
	}
}

func TestLostLock(t *testing.T) {
	t.Parallel()
	store, l := &rechunktest.MemoryStore{}, &locker{lost: errors.New("lost")}
	e := lockedEngine(t, store, l)
	if _, err := e.Rechunk(t.Context(), source(t, system("1", stamp)).Request("fleet", rules)); !errors.Is(err, l.lost) {
		t.Errorf("got %v", err)
	}
	if versions, err := e.LineageOf(t.Context(), "fleet", "linux/amd64"); len(versions) != 0 || err != nil {
		t.Errorf("%d versions were published, %v", len(versions), err)
	}
	if l.held.Load() != 0 {
		t.Errorf("%d locks were not given back", l.held.Load())
	}
}
