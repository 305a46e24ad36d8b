package upkeep

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
)

// Water marks of a quota: above the high one something is evicted, until the low one is reached.
const (
	highPercent = 95
	lowPercent  = 90
)

// Usage knows how much content a store has, without looking at all of it each time: what this process writes and removes is
// added to what was last measured. It is safe for concurrent use.
type Usage struct {
	quota atomic.Int64
	used  atomic.Int64
	high  chan struct{} // holds a token when the high mark was passed
	set   chan struct{} // holds a token when the quota was changed
}

var _ chunkstore.Space = (*Usage)(nil)

// NewUsage returns the usage of a store with a quota in bytes; 0 means none.
func NewUsage(quota int64) *Usage {
	u := &Usage{high: make(chan struct{}, 1), set: make(chan struct{}, 1)}
	u.quota.Store(quota)
	return u
}

// SetQuota changes the quota, in bytes; 0 means none. It does not wait for the eviction of what is above a smaller one.
func (u *Usage) SetQuota(quota int64) {
	if u.quota.Swap(quota) != quota {
		wake(u.set)
	}
}

// wake has Run look at the quota.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Room implements chunkstore.Space.
func (u *Usage) Room() int64 {
	quota := u.quota.Load()
	if quota <= 0 {
		return math.MaxInt64
	}
	return quota - u.used.Load()
}

// Grew implements chunkstore.Space.
func (u *Usage) Grew(n int64) {
	if u.used.Add(n); n > 0 && u.excess(highPercent) > 0 {
		wake(u.high)
	}
}

// Used returns how much there is, in bytes, as far as is known.
func (u *Usage) Used() int64 { return max(u.used.Load(), 0) }

// Quota returns the quota in bytes, 0 for none.
func (u *Usage) Quota() int64 { return u.quota.Load() }

// excess is how much has to go to reach a mark.
func (u *Usage) excess(percent int64) int64 {
	quota := u.quota.Load()
	if quota <= 0 {
		return 0
	}
	return max(u.Used()-quota/100*percent, 0)
}

// usageRecord is a measurement for the next process.
type usageRecord struct {
	Bytes int64     `json:"bytes"`
	At    time.Time `json:"at"`
}

const (
	// measureEvery is how often the store is measured: other processes write to it, too.
	measureEvery = time.Hour
	// saveEvery is how often what is known is stored.
	saveEvery = 10 * time.Minute
)

func (k *Keeper) usageNote() catalog.Note[usageRecord] {
	return catalog.Upkeep[usageRecord](k.records, "usage")
}

// recallUsage begins with what an earlier process knew; a new one measures.
func (k *Keeper) recallUsage(ctx context.Context) (known bool) {
	rec, err := k.usageNote().Get(ctx)
	if err != nil || rec.At.IsZero() {
		return false
	}
	k.Usage.used.Add(rec.Bytes)
	return true
}

// shareUsage takes over what another process measured lately, and reports whether there is such a measurement.
func (k *Keeper) shareUsage(ctx context.Context) bool {
	if k.Leases == nil {
		return false
	}
	rec, err := k.usageNote().Get(ctx)
	if err != nil || k.Now().Sub(rec.At) >= measureEvery {
		return false
	}
	k.Usage.used.Store(rec.Bytes)
	return true
}

// saveUsage stores what is known, for the next process. Among several, only what was measured is: each knows of its own
// writes alone.
func (k *Keeper) saveUsage(ctx context.Context) error {
	if k.Leases != nil {
		return nil
	}
	return k.noteUsage(ctx, turn{})
}

func (k *Keeper) noteUsage(ctx context.Context, t turn) error {
	return note(ctx, t, k.usageNote(), usageRecord{Bytes: k.Usage.Used(), At: k.Now().UTC()})
}

// Measure looks through the store and corrects what is known of its size. ErrBusy says that another process is at it, or
// collects.
func (k *Keeper) Measure(ctx context.Context) error { return k.only(ctx, workGC, k.measure) }

func (k *Keeper) measure(ctx context.Context, t turn) error {
	before := k.Usage.used.Load()
	var total int64
	err := k.Chunks.Walk(ctx, func(i chunkstore.Info) error {
		total += i.Size
		return nil
	})
	if err == nil {
		err = k.Chunks.WalkQuarantine(ctx, func(q chunkstore.Quarantined) error {
			total += q.Size
			return nil
		})
	}
	if err != nil {
		return err
	}
	// What came and went meanwhile counts on top; a part of it may have been seen, which the next measurement corrects.
	k.Usage.used.Add(total - before)
	k.Metrics.StoreUse(k.Usage.Used(), k.Usage.Quota())
	return k.noteUsage(ctx, t)
}
