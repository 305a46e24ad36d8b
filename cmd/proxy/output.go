package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/strata-oci/strata/rechunk"
)

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// size shows bytes for people.
func size(n int64) string {
	if n < 0 {
		return "-" + humanize.Bytes(uint64(-n))
	}
	return humanize.Bytes(uint64(n))
}

// peakRSS is the most memory that the process has had, in bytes.
func peakRSS() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss * 1024
}

// progressDelay is how long work must last before it shows progress.
const progressDelay = time.Second

// bars shows progress on a terminal, a bar for each phase, and nothing in a pipe.
type bars struct {
	mu      sync.Mutex
	pool    *mpb.Progress
	started time.Time
	current *mpb.Bar
	phase   string
}

// newBars starts a display on w if it is a terminal.
func newBars(w io.Writer) *bars {
	b := &bars{started: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.pool = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	}
	return b
}

// show is told how the work goes on.
func (b *bars) show(p rechunk.Progress) { b.update(p.Phase, p.Done, p.Total) }

func (b *bars) update(phase string, done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pool == nil || time.Since(b.started) < progressDelay {
		return
	}
	if phase != b.phase {
		b.finish()
		b.phase = phase
		b.current = b.pool.AddBar(total, mpb.PrependDecorators(decor.Name(fmt.Sprintf("%-8s", phase))),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name("  "), decor.Percentage()))
	}
	b.current.SetTotal(total, false)
	b.current.SetCurrent(done)
}

func (b *bars) finish() {
	if b.current != nil {
		b.current.SetTotal(-1, true)
	}
}

// close ends the display.
func (b *bars) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pool != nil {
		b.finish()
		b.pool.Wait()
		b.pool = nil
	}
}
