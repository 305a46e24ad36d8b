package rechunk

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/rechunk/plan"
)

// Locker keeps other engines on the same store from a lineage. It is safe for concurrent use.
type Locker interface {
	// Lock waits until nobody else has key, or for the end of ctx.
	Lock(ctx context.Context, key string) (Lock, error)
}

// Lock is what a Locker gave. Whoever has it may lose it, when its process was paused or cut off for long.
type Lock interface {
	// Fence is greater than that of every lock of the same key before; 0 from a Locker that has no such numbers.
	Fence() int64
	// Bind returns a context that ends with ctx, or when the lock is lost.
	Bind(ctx context.Context) (context.Context, context.CancelFunc)
	// Confirm returns an error when the lock is lost.
	Confirm(ctx context.Context) error
	Unlock()
}

// ErrFenced says that another engine has written to the lineage since this one began, so that nothing was published.
var ErrFenced = errors.New("another process has made a later version meanwhile")

// alone is the lock of an engine that no other shares its store with.
type alone struct{}

func (alone) Fence() int64                                                   { return 0 }
func (alone) Bind(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
func (alone) Confirm(context.Context) error                                  { return nil }
func (alone) Unlock()                                                        {}

// lock waits for a lineage: first among the images of this engine, then among engines. The context ends when the lineage is
// lost to another.
func (e *Engine) lock(ctx context.Context, key string) (_ context.Context, held Lock, unlock func(), err error) {
	leave, err := e.lockHere(ctx, key)
	if err != nil {
		return nil, nil, nil, err
	}
	held = alone{}
	if e.cfg.Locker != nil {
		if held, err = e.cfg.Locker.Lock(ctx, key); err != nil {
			leave()
			return nil, nil, nil, err
		}
	}
	bound, stop := held.Bind(ctx)
	return bound, held, func() { stop(); held.Unlock(); leave() }, nil
}

// putLineage writes the record of a lineage, whose lock is held; with history, its history before. It is the only way to
// write one: right before, it makes sure that the lock is still held and that no later holder has written. A store can't
// compare and write in one step: a process that stops for longer than the lock lives exactly between this and the write may
// still overwrite a later version's entry. Both images stay complete and valid then; the next plan builds on one of the two.
func (e *Engine) putLineage(ctx context.Context, key string, held Lock, versions []Version, history *plan.History) error {
	if err := held.Confirm(ctx); err != nil {
		return fmt.Errorf("lineage %q: %w", key, err)
	}
	var stored Lineage
	if _, err := e.getJSON(ctx, KindLineage, key, &stored); err != nil {
		return err
	}
	fence := held.Fence()
	if fence != 0 && stored.Fence > fence {
		return fmt.Errorf("lineage %q: %w", key, ErrFenced)
	}
	if history != nil {
		if err := e.putJSON(ctx, KindHistory, key, history); err != nil {
			return err
		}
	}
	return e.putJSON(ctx, KindLineage, key, Lineage{Versions: versions, Fence: max(stored.Fence, fence)})
}

// lineageLock serialises the images of a lineage; users counts who holds or awaits it.
type lineageLock struct {
	ch    chan struct{}
	users int
}

// lockHere waits until no other image of this engine has a lineage.
func (e *Engine) lockHere(ctx context.Context, key string) (unlock func(), err error) {
	e.mu.Lock()
	l := e.locks[key]
	if l == nil {
		l = &lineageLock{ch: make(chan struct{}, 1)}
		e.locks[key] = l
	}
	l.users++
	e.mu.Unlock()
	leave := func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(e.locks, key)
		}
	}
	select {
	case l.ch <- struct{}{}:
		return func() { <-l.ch; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
