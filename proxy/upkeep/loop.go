package upkeep

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/lease"
)

// Schedule says what Run does by itself.
type Schedule struct {
	// GC is the time between two collections; 0 means never.
	GC time.Duration
	// Scrub is the time from one scrub to the next; 0 means never.
	Scrub        time.Duration
	ScrubOptions ScrubOptions
}

// memory is what Run has in mind between ticks.
type memory struct {
	measured, saved, evicted time.Time
	over                     bool // the quota could not be met, which was said
}

const (
	// tick is how often Run looks whether something is due.
	tick = time.Minute
	// measureAgain is when the store is measured that another process was busy with.
	measureAgain = 5 * time.Minute
	// afterStart is how long Run lets a process settle before it begins with anything large.
	afterStart = 10 * time.Minute
)

// Sorts of work of which one is done at a time. Evicting, dropping and measuring are of the first: what they remember is.
const (
	workGC    = "gc"
	workScrub = "scrub"
)

// gcRecord remembers the last gc across restarts and processes.
type gcRecord struct {
	FinishedAt time.Time `json:"finished_at"`
	Report     GCReport  `json:"report"`
}

func (k *Keeper) gcNote() catalog.Note[gcRecord] { return catalog.Upkeep[gcRecord](k.records, "gc") }

// Run does what is due until ctx ends. Failures are logged, and tried again when the next run would be due, or after an
// hour. The schedule is asked for at least once a minute; a scrub under way takes over its rate.
func (k *Keeper) Run(ctx context.Context, schedule func() Schedule) {
	began := k.Now()
	failed := map[string]time.Time{}
	due := func(name string, every time.Duration, last func(context.Context) time.Time) bool {
		now := k.Now()
		return every > 0 && now.Sub(began) >= afterStart && now.Sub(failed[name]) >= min(every, time.Hour) &&
			now.Sub(last(ctx)) >= every
	}
	var m memory
	if k.recallUsage(ctx) {
		m.measured = k.Now().Add(tick - measureEvery) // what was known will do for the start
	}
	defer k.forgetNothing(ctx)
	var scrubbing sync.WaitGroup // it takes days: the rest goes on
	defer scrubbing.Wait()
	var scrubs atomic.Bool
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		k.space(ctx, &m)
		high := k.Usage.high
		if k.Now().Sub(m.evicted) < tick {
			high = nil // not at every write
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-high:
		case <-k.Usage.set:
		}
		s := schedule()
		if !scrubs.Load() && due(workScrub, s.Scrub, k.lastScrub) {
			failed[workScrub] = k.Now() // not more often than once an hour, whatever comes
			scrubs.Store(true)
			o := s.ScrubOptions
			o.rate = func() int64 { return schedule().ScrubOptions.Rate }
			scrubbing.Go(func() {
				defer scrubs.Store(false)
				if _, err := k.Scrub(ctx, o); err != nil {
					k.report(ctx, "scrub", err)
				}
			})
		}
		if due(workGC, s.GC, k.lastGC) {
			if _, err := k.GC(ctx, GCOptions{}); err != nil {
				failed[workGC] = k.Now()
				k.report(ctx, "gc", err)
			}
		}
	}
}

// space keeps the store below its quota.
func (k *Keeper) space(ctx context.Context, m *memory) {
	now := k.Now()
	var err error
	switch {
	case now.Sub(m.measured) >= measureEvery && k.shareUsage(ctx):
		m.measured = now
	case now.Sub(m.measured) >= measureEvery:
		m.measured, m.saved, err = now, now, k.Measure(ctx)
		if errors.Is(err, ErrBusy) {
			m.measured = now.Add(measureAgain - measureEvery)
		}
	case now.Sub(m.saved) >= saveEvery:
		m.saved, err = now, k.saveUsage(ctx)
	}
	if err != nil {
		k.report(ctx, "measuring the store", err)
	}
	k.Metrics.StoreUse(k.Usage.Used(), k.Usage.Quota())
	if k.Usage.excess(highPercent) == 0 {
		k.within(ctx, m, true, EvictReport{})
		return
	}
	m.evicted = now
	r, err := k.Evict(ctx)
	if err != nil {
		k.report(ctx, "evicting for the quota", err)
		return
	}
	k.Logger.InfoContext(ctx, "evicted for the quota", "used_bytes", r.Used, "quota_bytes", r.Quota, "evicted", r.Evicted)
	k.within(ctx, m, r.Met, r)
}

// within says, once, that the quota cannot be met, and that it can be again.
func (k *Keeper) within(ctx context.Context, m *memory, met bool, r EvictReport) {
	k.Metrics.OverQuota(!met)
	switch {
	case !met && !m.over:
		k.Logger.ErrorContext(ctx, "the quota can't be met: all that is left is needed; what is new is served but not kept",
			"used_bytes", r.Used, "quota_bytes", r.Quota, "do", "raise quota, or drop tags with strata prune")
	case met && m.over:
		k.Logger.InfoContext(ctx, "the store is within its quota again")
	}
	m.over = !met
}

// forgetNothing stores what is known of the store's size for the next process.
func (k *Keeper) forgetNothing(ctx context.Context) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if err := k.saveUsage(ctx); err != nil {
		k.Logger.WarnContext(ctx, "the size of the store could not be noted", "error", err)
	}
}

// report logs why work that was due was not done.
func (k *Keeper) report(ctx context.Context, what string, err error) {
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, ErrBusy):
		k.Logger.DebugContext(ctx, "another process is at it", "work", what)
	case errors.Is(err, lease.ErrUnavailable): // of which the connection to it tells, once
		k.Logger.DebugContext(ctx, "upkeep waits until leases can be had", "work", what, "error", err)
	default:
		k.Logger.ErrorContext(ctx, "upkeep failed and is tried again later", "work", what, "error", err)
	}
}

// lastGC returns when the last gc ended, the zero time if there is no record of one.
func (k *Keeper) lastGC(ctx context.Context) time.Time {
	rec, _ := k.gcNote().Get(ctx) // a run too many does no harm
	return rec.FinishedAt
}

// lastScrub returns when the last pass began that has ended; one that was interrupted, and that of a store without any, is
// due.
func (k *Keeper) lastScrub(ctx context.Context) time.Time {
	rec, err := k.scrubNote().Get(ctx)
	if err != nil || rec.FinishedAt.IsZero() {
		return time.Time{}
	}
	return rec.StartedAt
}
