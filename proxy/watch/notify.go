package watch

import "fmt"

// Notify has a reference refreshed soon. One that waits already is not refreshed twice; one that is being refreshed is refreshed once
// more after that, since the push may have come after the question. It returns an error when too many wait.
func (w *Watcher) Notify(ref string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	if _, known := w.pending[ref]; known {
		w.pending[ref] = true
		return nil
	}
	if len(w.pending) >= maxPending {
		return fmt.Errorf("%d references wait to be refreshed, which is the limit", maxPending)
	}
	w.pending[ref] = false
	w.wg.Go(func() { w.refresh(ref) })
	return nil
}

// refresh refreshes a reference as often as it was told of.
func (w *Watcher) refresh(ref string) {
	for {
		select {
		case w.slots <- struct{}{}:
		case <-w.ctx.Done():
			return
		}
		w.mu.Lock()
		w.pending[ref] = false // what was told until now is asked about now
		w.mu.Unlock()
		err := w.o.Images.Refresh(w.ctx, ref)
		<-w.slots
		if err != nil && w.ctx.Err() == nil {
			w.log.Warn("image that was pushed could not be brought up to date", "reference", ref, "error", err)
		}
		w.mu.Lock()
		again := w.pending[ref] && w.ctx.Err() == nil
		if !again {
			delete(w.pending, ref)
		}
		w.mu.Unlock()
		if !again {
			return
		}
	}
}
