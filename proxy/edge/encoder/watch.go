package encoder

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

const (
	// slowest is how many bytes a second a program takes at least, on the whole: a tenth of what the slowest settings need
	// on one busy core.
	slowest = 128 << 10
	// looks is how often a program is looked at in the time that it may do nothing.
	looks = 60
	// idle is the share of a core, one in so many, below which a program does nothing. It may work on a block for minutes
	// without taking or giving a byte.
	idle = 100
)

// watch ends a program that hangs: one that for patience neither takes nor gives a byte nor computes, or that is slower than
// any encoder is. Time in which it waits for its input, for who takes its output, or for a processor that others use,
// doesn't count. The program is watched until what is returned is called.
func watch(ctx context.Context, pid int, in *input, out *output, patience time.Duration, stop context.CancelCauseFunc,
) (unwatched func()) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() {
		pause := max(patience/looks, time.Millisecond)
		ticks := time.NewTicker(pause)
		defer ticks.Stop()
		var spent, still, used time.Duration // in all; since it was last seen to do something; processor time then
		var queued time.Duration             // for a processor
		moved := int64(0)
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			if in.waiting.Load() || out.waiting.Load() {
				still = 0
				continue
			}
			passed := pause
			if q := queue(pid); q > queued {
				passed, queued = pause-(q-queued), q // in this tick or in those before
			}
			spent, still = max(spent+passed, 0), max(still+passed, 0)
			if n, now := in.n.Load()+out.n.Load(), processor(pid); n != moved || now-used > patience/idle {
				moved, used, still = n, now, 0
			}
			switch taken := time.Duration(in.n.Load() / slowest * int64(time.Second)); {
			case still > patience:
				stop(fmt.Errorf("%w: nothing came of it for %s", wrap.ErrLimit, patience))
				return
			case spent > patience+taken:
				stop(fmt.Errorf("%w: not done with %d bytes after %s", wrap.ErrLimit, in.n.Load(), spent.Round(pause)))
				return
			}
		}
	})
	return func() { cancel(); work.Wait() }
}
