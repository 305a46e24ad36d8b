package upkeep

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/strata-oci/strata/chunkstore"
)

// Schedule says what Run does by itself.
type Schedule struct {
	// GC is the time between two collections; 0 means never.
	GC time.Duration
}

const (
	// tick is how often Run looks whether something is due.
	tick = time.Minute
	// afterStart is how long Run lets a process settle before it begins with anything large.
	afterStart = 10 * time.Minute
	keyGC      = "gc"
)

// gcRecord remembers the last gc across restarts and processes.
type gcRecord struct {
	FinishedAt time.Time `json:"finished_at"`
	Report     GCReport  `json:"report"`
}

// Run does what is due until ctx ends. Failures are logged, and tried again when the next run would be due, or after an hour.
func (k *Keeper) Run(ctx context.Context, s Schedule) {
	began := k.Now()
	failed := map[string]time.Time{}
	due := func(name string, every time.Duration, last func(context.Context) time.Time) bool {
		now := k.Now()
		return every > 0 && now.Sub(began) >= afterStart && now.Sub(failed[name]) >= min(every, time.Hour) && now.Sub(last(ctx)) >= every
	}
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if due(keyGC, s.GC, k.lastGC) {
			if _, err := k.GC(ctx, GCOptions{}); err != nil {
				failed[keyGC] = k.Now()
				k.report(ctx, "gc", err)
			}
		}
	}
}

// report logs why work that was due was not done.
func (k *Keeper) report(ctx context.Context, what string, err error) {
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, ErrBusy):
		k.Logger.DebugContext(ctx, "another process is at it", "work", what)
	default:
		k.Logger.ErrorContext(ctx, "upkeep failed and is tried again later", "work", what, "error", err)
	}
}

// lastGC returns when the last gc ended, the zero time if there is no record of one.
func (k *Keeper) lastGC(ctx context.Context) time.Time {
	var rec gcRecord
	_ = k.getJSON(ctx, keyGC, &rec) // a run too many does no harm
	return rec.FinishedAt
}

// getJSON reads a record of this package. One that is missing or damaged leaves v as it is.
func (k *Keeper) getJSON(ctx context.Context, key string, v any) error {
	b, err := k.Chunks.GetRecord(ctx, kindUpkeep, key)
	switch {
	case errors.Is(err, chunkstore.ErrNotFound), errors.Is(err, chunkstore.ErrCorrupt), errors.Is(err, chunkstore.ErrTooLarge):
		return nil
	case err != nil:
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		k.Logger.WarnContext(ctx, "record is damaged and taken as missing", "kind", kindUpkeep, "key", key, "error", err)
	}
	return nil
}
