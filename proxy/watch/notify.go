package watch

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/proxy/background"
)

// Notify has a reference refreshed soon. One that waits already is not refreshed twice; one that is being refreshed is
// refreshed once more after that, since the push may have come after the question. It returns an error when too many wait.
func (w *Watcher) Notify(ref string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.pending[ref]; known {
		w.pending[ref] = true
		return nil
	}
	if len(w.pending) >= maxPending {
		return fmt.Errorf("%d references wait to be refreshed, which is the limit", maxPending)
	}
	if !w.work.Go("watch", func(ctx context.Context) { w.refresh(ctx, ref) }) {
		return background.ErrClosed
	}
	w.pending[ref] = false
	return nil
}

// refresh refreshes a reference as often as it was told of.
func (w *Watcher) refresh(ctx context.Context, ref string) {
	for {
		select {
		case w.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		w.pending[ref] = false // what was told until now is asked about now
		w.mu.Unlock()
		err := w.work.Catch(ctx, "watch", func() error { return w.o.Images.Refresh(ctx, ref) })
		<-w.slots
		if err != nil && ctx.Err() == nil {
			w.log.Warn("image that was pushed could not be brought up to date", "reference", ref, "error", err)
		}
		w.mu.Lock()
		again := w.pending[ref] && ctx.Err() == nil
		if !again {
			delete(w.pending, ref)
		}
		w.mu.Unlock()
		if !again {
			return
		}
	}
}
