package rechunk

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrDeadline marks an image that took longer than Config.Deadline grants it.
var ErrDeadline = errors.New("image took too long")

// Deadline is how long one image may take: Base, and for every BytesPerSecond of its source's compressed layers a second
// more. The time in which it waits for other images of its lineage does not count. The zero value sets no bound.
type Deadline struct {
	Base           time.Duration
	BytesPerSecond int64
}

// DefaultDeadline is generous: a small machine reads, plans and writes several MiB per second. 4 GiB have nearly five hours.
func DefaultDeadline() Deadline { return Deadline{Base: 15 * time.Minute, BytesPerSecond: 256 << 10} }

// For is the time for an image whose layers have so many bytes; 0 for no bound.
func (d Deadline) For(bytes int64) time.Duration {
	if d.Base <= 0 || d.BytesPerSecond <= 0 {
		return d.Base
	}
	const most = 7 * 24 * time.Hour // what manifests claim can be anything
	return d.Base + min(most, time.Duration(min(bytes/d.BytesPerSecond, int64(most/time.Second)))*time.Second)
}

// startClock sets the end of the run.
func (r *run) startClock(context.Context) error {
	var bytes int64
	for _, l := range r.src.Manifest.Layers {
		bytes += min(l.Size, maxLayerSize)
	}
	limit := r.cfg.Deadline.For(bytes)
	if limit <= 0 {
		return nil
	}
	timer := time.AfterFunc(limit, func() {
		r.end(fmt.Errorf("%w: more than %s for %d bytes of layers", ErrDeadline, limit, bytes))
	})
	r.stopClock = func() { timer.Stop() }
	return nil
}

// maxLayerSize keeps the sum of claimed sizes from overflowing.
const maxLayerSize = 1 << 50
