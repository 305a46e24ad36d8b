package upkeep

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
)

// EvictReport is what was removed for the quota.
type EvictReport struct {
	Used  int64 `json:"used"` // bytes, after it
	Quota int64 `json:"quota"`
	// Evicted are amounts by kind: of content; of versions as KindServed.
	Evicted map[string]Amount `json:"evicted"`
	// Met says that the store is below the high mark, or will be when what waits is gone.
	Met bool `json:"met"`
}

// Evict brings the store below its quota's low mark when it is above the high one: first what nobody needs, then chunks
// and deltas, then what upstreams have, too: layers of sources, then of images that are served as they are, each oldest
// first; then versions, by their last pull. What tags stand for stays, and the newest version of each lineage. ErrBusy says
// that a gc is under way.
func (k *Keeper) Evict(ctx context.Context) (EvictReport, error) {
	out := EvictReport{Evicted: map[string]Amount{}}
	err := k.only(ctx, workGC, func(ctx context.Context, t turn) error {
		e := &eviction{Keeper: k, turn: t, report: &out, policy: k.Policy()}
		return e.run(ctx)
	})
	out.Used, out.Quota = k.Usage.Used(), k.Usage.Quota()
	return out, err
}

type eviction struct {
	*Keeper
	turn
	report *EvictReport
	policy Policy
	// waiting are bytes that nothing leads to any more and that go later.
	waiting int64
}

// missing is how much has still to go.
func (e *eviction) missing() int64 { return e.Usage.excess(lowPercent) - e.waiting }

func (e *eviction) run(ctx context.Context) error {
	if e.Usage.excess(highPercent) > 0 && e.held != nil {
		// Another process may have made room since this one last knew.
		if err := e.measure(ctx, e.turn); err != nil {
			return err
		}
	}
	if e.Usage.excess(highPercent) == 0 {
		e.report.Met = true
		return nil
	}
	if _, err := e.Chunks.SweepQuarantine(ctx, e.Now()); err != nil {
		return err
	}
	if err := e.collectFor(ctx, nil); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{e.layers, e.versions} {
		if e.missing() <= 0 {
			break
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	e.report.Met = e.Usage.excess(highPercent)-e.waiting <= 0
	return e.noteUsage(ctx, e.turn)
}

// collectFor runs a gc that lets these versions go, too.
func (e *eviction) collectFor(ctx context.Context, evicted map[digest.Digest]bool) error {
	r, err := e.collect(ctx, e.turn, GCOptions{}, evicted)
	e.waiting = r.Waiting.Bytes
	if evicted != nil {
		e.count(KindServed, r.Removed)
	}
	return err
}

func (e *eviction) count(kind string, a Amount) {
	sum := e.report.Evicted[kind]
	sum.Objects += a.Objects
	sum.Bytes += a.Bytes
	e.report.Evicted[kind] = sum
	e.Metrics.Evicted(kind, a.Bytes)
}

// layers evicts chunks and deltas, and what upstreams have, too.
func (e *eviction) layers(ctx context.Context) error {
	m, err := e.mark(ctx, rules{policy: e.policy})
	if err != nil {
		return err
	}
	defer m.close()
	// What a job fetched stays until it is done with it, or it would fetch it again.
	limit := e.Now()
	if active, _ := e.Activity(); !active.IsZero() {
		limit = active
	}
	limit = limit.Add(-chunkstore.FreshFor)
	var chunks, deltas, sources, originals oldest
	err = e.Chunks.Walk(ctx, func(i chunkstore.Info) error {
		u, err := m.use(i.Digest)
		switch {
		case err != nil || u == 0 || !i.ModTime.Before(limit):
		case u == catalog.ChunkOf:
			chunks.add(i)
		case u == catalog.DeltaOf:
			deltas.add(i)
		case u == catalog.SourceLayer:
			sources.add(i)
		case u&^(catalog.SourceLayer|catalog.OriginalLayer) == 0:
			originals.add(i)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, of := range []struct {
		kind    string
		content oldest
	}{{KindChunk, chunks}, {KindDelta, deltas}, {KindSource, sources}, {KindOriginal, originals}} {
		if err := e.evict(ctx, of.kind, of.content.sorted(), limit); err != nil {
			return err
		}
	}
	return nil
}

// maxEvicted bounds the content of a kind that is evicted at once; the next time goes on.
const maxEvicted = 100_000

// oldest is the oldest content of what it was given, at most maxEvicted: a heap with the newest on top.
type oldest []chunkstore.Info

func compareAges(a, b chunkstore.Info) int {
	return cmp.Or(a.ModTime.Compare(b.ModTime), cmp.Compare(a.Digest, b.Digest))
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (o oldest) Len() int           { return len(o) }
func (o oldest) Less(i, j int) bool { return compareAges(o[i], o[j]) > 0 }
func (o oldest) Swap(i, j int)      { o[i], o[j] = o[j], o[i] }
func (o *oldest) Push(x any)        { *o = append(*o, x.(chunkstore.Info)) }
func (o *oldest) Pop() any {
	last := (*o)[len(*o)-1]
	*o = (*o)[:len(*o)-1]
	return last
}

func (o *oldest) add(i chunkstore.Info) {
	if len(*o) < maxEvicted {
		heap.Push(o, i)
	} else if compareAges(i, (*o)[0]) < 0 {
		(*o)[0] = i
		heap.Fix(o, 0)
	}
}

// sorted lists the content, oldest first.
func (o oldest) sorted() []chunkstore.Info {
	slices.SortFunc(o, compareAges)
	return o
}

// evict removes content in its order while too much is stored.
func (e *eviction) evict(ctx context.Context, kind string, of []chunkstore.Info, limit time.Time) error {
	var gone Amount
	defer func() { e.count(kind, gone) }()
	for _, i := range of {
		if e.missing() <= 0 {
			return nil
		}
		removed, err := e.Chunks.DeleteUnused(ctx, i.Digest, limit)
		if err != nil {
			return err
		}
		if removed {
			gone.add(i.Size)
		}
	}
	return nil
}
