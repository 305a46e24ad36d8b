package upkeep

import (
	"context"
	"time"
)

// State tells how full a store is and when it was looked after.
type State struct {
	UsedBytes  int64 `json:"used_bytes"`  // of content, as far as is known
	QuotaBytes int64 `json:"quota_bytes"` // 0 for none
	// GCAt is when the last gc ended; zero for never.
	GCAt time.Time `json:"gc_at,omitzero"`
	// ScrubStartedAt and ScrubFinishedAt are those of the last pass; the latter is zero while that goes on, or waits to be
	// gone on with. Damaged is how many objects it found damaged, up to a thousand.
	ScrubStartedAt  time.Time `json:"scrub_started_at,omitzero"`
	ScrubFinishedAt time.Time `json:"scrub_finished_at,omitzero"`
	Damaged         int       `json:"damaged"`
}

// State returns how the store is kept.
func (k *Keeper) State(ctx context.Context) (State, error) {
	out := State{UsedBytes: k.Usage.Used(), QuotaBytes: k.Usage.Quota()}
	gc, err := k.gcNote().Get(ctx)
	if err != nil {
		return out, err
	}
	scrub, err := k.scrubNote().Get(ctx)
	if err != nil {
		return out, err
	}
	out.GCAt = gc.FinishedAt
	out.ScrubStartedAt, out.ScrubFinishedAt, out.Damaged = scrub.StartedAt, scrub.FinishedAt, len(scrub.Damaged)
	return out, nil
}
