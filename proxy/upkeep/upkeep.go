// Package upkeep keeps a store in order: it removes what nobody needs any more (gc), keeps the store below its quota
// (evict), and finds and mends what rotted (scrub).
//
// What is needed follows from the records alone: tags lead to images, lineages to versions, manifests to blobs. A run marks
// what the records that stay lead to, removes the records that go, and then the content that is not marked. docs/store.md
// says why that is safe while clients pull, jobs run and other processes use the same store.
package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/rechunk"
)

// ErrBusy says that work of the same sort is under way, in this process or another one.
var ErrBusy = errors.New("it is running already")

// Retention says which versions of a lineage stay although no tag stands for them.
type Retention struct {
	// Versions is how many, at least 1.
	Versions int
	// Age is how old they may be; 0 means any age.
	Age time.Duration
}

// Policy is what an operator decides about what stays. It may change while a Keeper runs.
type Policy struct {
	// Retention returns what holds for a lineage; nil means 16 versions of any age.
	Retention func(lineage string) Retention
	// KeepPulled is how long a manifest stays after it was last pulled, or, where that is not known, stored.
	KeepPulled time.Duration
	// Grace is how long content that nothing leads to stays where other processes may be using the store. It must be longer
	// than their longest job.
	Grace time.Duration
}

// retention returns what holds for a lineage.
func (p Policy) retention(lineage string) Retention {
	if p.Retention == nil {
		return Retention{Versions: 16}
	}
	return p.Retention(lineage)
}

// Lineages trim the records of lineages without getting into the way of jobs; rechunk.Engine is one.
type Lineages interface {
	// TrimLineage removes versions from the record of a key. It reports busy when a job is about to write that record.
	TrimLineage(ctx context.Context, key string, keep func(i int, v *rechunk.Version) bool) (busy bool, err error)
}

// Options are what a Keeper is made of. Chunks and Lineages are needed.
type Options struct {
	Chunks   *chunkstore.Store
	Lineages Lineages
	// Policy returns what holds now. It is asked anew by each run; nil means that the defaults hold.
	Policy func() Policy
	// LastPull tells when a manifest was last pulled; the zero time for never. nil means that nobody knows.
	LastPull func(ctx context.Context, d digest.Digest) (time.Time, error)
	// Activity tells of the work of this process that may come to rely on content which no record leads to: when the oldest
	// that is under way began, the zero time for none, and how much was begun so far. nil means that there is never any.
	Activity func() (oldest time.Time, begun int64)
	// Alone reports whether no other process uses the store at this moment. nil means that there may be some.
	Alone func() bool
	// Exclusive says that nobody uses the store until the Keeper is done with it.
	Exclusive bool
	// Leases keep the processes that share a store from the same work; nil means that there is one. They must be such that
	// two never have the same, at the cost that nobody has one while they can't be reached.
	Leases *lease.Leases
	// WorkDir holds temporary files; "" means the system's directory.
	WorkDir string
	// Restorer brings back what a scrub finds damaged; nil where no proxy runs.
	Restorer Restorer
	// Usage knows how much content there is; it is the Space of Chunks. nil means that there is no quota.
	Usage *Usage
	// Metrics may be nil.
	Metrics *metrics.Metrics
	// Begin begins a trace of work; its context is that of the work, and end says what came of it. nil: none is kept.
	Begin  func(ctx context.Context, work string) (_ context.Context, end func(err error))
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Keeper looks after a store. It is safe for concurrent use.
type Keeper struct {
	Options
	records *catalog.Records
	store   *state.Store
	running sync.Map // the names of the work under way
}

// New returns a Keeper.
func New(o Options) *Keeper {
	if o.Policy == nil {
		o.Policy = func() Policy { return Policy{} }
	}
	if o.LastPull == nil {
		o.LastPull = func(context.Context, digest.Digest) (time.Time, error) { return time.Time{}, nil }
	}
	if o.Activity == nil {
		o.Activity = func() (time.Time, int64) { return time.Time{}, 0 }
	}
	if o.Usage == nil {
		o.Usage = NewUsage(0)
	}
	if o.Begin == nil {
		o.Begin = func(ctx context.Context, _ string) (context.Context, func(error)) { return ctx, func(error) {} }
	}
	if o.Alone == nil {
		o.Alone = func() bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{Options: o, records: catalog.New(o.Chunks, o.Logger), store: state.New(o.Chunks, o.Logger, o.Metrics)}
}

// leaseTTL is for how long nobody looks after the store when a process dies at it.
const leaseTTL = 30 * time.Second

// turn is the right to do work of a sort, and to write what is remembered of it.
type turn struct{ held *lease.Lease }

// only runs work that nobody else does at the same time, here or in another process. Its context ends when another one may
// begin.
func (k *Keeper) only(ctx context.Context, name string, work func(ctx context.Context, t turn) error) (err error) {
	if _, taken := k.running.LoadOrStore(name, true); taken {
		return ErrBusy
	}
	defer k.running.Delete(name)
	ctx, end := k.Begin(ctx, "upkeep "+name)
	defer func() { end(err) }()
	if k.Leases == nil {
		return work(ctx, turn{})
	}
	held, err := k.Leases.TryAcquire(ctx, "upkeep "+name, leaseTTL)
	if errors.Is(err, lease.ErrHeld) {
		return ErrBusy
	}
	if err != nil {
		return err
	}
	defer held.Release()
	bound, stop := held.Bind(ctx)
	defer stop()
	err = work(bound, turn{held})
	if err != nil && ctx.Err() == nil && bound.Err() != nil {
		return context.Cause(bound) // says more than what failed of it
	}
	return err
}

// confirm returns an error when another process may have the turn by now. It comes right before a write.
func (t turn) confirm(ctx context.Context) error {
	if t.held == nil {
		return nil
	}
	return t.held.Confirm(ctx)
}

// note remembers what work of this turn did.
func note[V any](ctx context.Context, t turn, n catalog.Note[V], v V) error {
	if err := t.confirm(ctx); err != nil {
		return err
	}
	return n.Put(ctx, v)
}
