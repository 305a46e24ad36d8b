package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/strata-oci/strata/rechunk"
)

// progressDelay is how long work must last before it shows progress.
const progressDelay = time.Second

// bars shows progress on a terminal, a bar for the phase that runs, and nothing in a pipe. Its methods are safe for
// concurrent use.
type bars struct {
	mu       sync.Mutex
	terminal io.Writer // nil when there is none
	started  time.Time
	pool     *mpb.Progress // nil while nothing is shown
	bar      *mpb.Bar
	phase    string
}

// newBars prepares a display on w if it is a terminal.
func newBars(w io.Writer) *bars {
	b := &bars{started: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.terminal = w
	}
	return b
}

// show is told how the work goes on.
func (b *bars) show(p rechunk.Progress) { b.update(p.Phase, p.Done, p.Total) }

// update is told how a phase goes on, in bytes; a total of 0 is not known.
func (b *bars) update(phase string, done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.terminal == nil || time.Since(b.started) < progressDelay {
		return
	}
	if b.pool == nil || phase != b.phase {
		b.clear()
		b.begin(phase, total)
	}
	// The total is kept out of reach: a bar that is complete would stay on the screen, and phases grow.
	b.bar.SetTotal(max(total, done)+1, false)
	b.bar.SetCurrent(done)
}

// begin shows a phase: how far it is where the total is known, else that it goes on, and how much is done if that is
// counted.
func (b *bars) begin(phase string, total int64) {
	b.phase = phase
	b.pool = mpb.New(mpb.WithOutput(b.terminal), mpb.WithWidth(40))
	name := mpb.PrependDecorators(decor.Name(fmt.Sprintf("%-8s", phase)))
	if total > 0 {
		b.bar = b.pool.AddBar(total, mpb.BarRemoveOnComplete(), name,
			mpb.AppendDecorators(decor.CountersKiloByte("% .1f / % .1f")))
		return
	}
	counted := decor.Any(func(s decor.Statistics) string {
		if s.Current == 0 {
			return ""
		}
		return size(s.Current)
	})
	b.bar = b.pool.AddSpinner(0, mpb.BarRemoveOnComplete(), mpb.BarWidth(1), name,
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO), decor.Name("  "), counted))
}

// clear takes the display off the screen.
func (b *bars) clear() {
	if b.pool == nil {
		return
	}
	b.bar.Abort(true)
	b.pool.Wait()
	b.pool, b.bar = nil, nil
}

// pause takes the display off the screen while print writes to it.
func (b *bars) pause(print func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	print()
}

// close ends the display; nothing shows after it.
func (b *bars) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	b.terminal = nil
}
