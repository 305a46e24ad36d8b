package upkeep

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/rechunk"
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

// Evict brings the store below its quota's low mark when it is above the high one: first what nobody needs, then what upstreams have,
// too, oldest first: layers of sources, then of images that are served as they are; then versions, by their last pull. What tags stand for
// stays, and the newest version of each lineage. ErrBusy says that a gc is under way.
func (k *Keeper) Evict(ctx context.Context) (EvictReport, error) {
	out := EvictReport{Evicted: map[string]Amount{}}
	err := k.only(ctx, "gc", func(ctx context.Context) error {
		e := &eviction{Keeper: k, report: &out, policy: k.Policy()}
		return e.run(ctx)
	})
	out.Used, out.Quota = k.Usage.Used(), k.Usage.Quota()
	return out, err
}

type eviction struct {
	*Keeper
	report *EvictReport
	policy Policy
	// waiting are bytes that nothing leads to any more and that go later.
	waiting int64
}

// missing is how much has still to go.
func (e *eviction) missing() int64 { return e.Usage.excess(lowPercent) - e.waiting }

func (e *eviction) run(ctx context.Context) error {
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
	return nil
}

// collectFor runs a gc that lets these versions go, too.
func (e *eviction) collectFor(ctx context.Context, evicted map[digest.Digest]bool) error {
	r, err := e.collect(ctx, GCOptions{}, evicted)
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

// layers evicts what upstreams have, too.
func (e *eviction) layers(ctx context.Context) error {
	m, err := e.markNow(ctx, e.policy)
	if err != nil {
		return err
	}
	stored := map[string][]chunkstore.Info{}
	err = e.Chunks.Walk(ctx, func(i chunkstore.Info) error {
		switch u := m.needs.content[i.Digest]; {
		case u == sourceLayer:
			stored[KindSource] = append(stored[KindSource], i)
		case u != 0 && u&^(sourceLayer|originalLayer) == 0:
			stored[KindOriginal] = append(stored[KindOriginal], i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// What a job fetched stays until it is done with it, or it would fetch it again.
	limit := e.Now()
	if oldest, _ := e.Activity(); !oldest.IsZero() {
		limit = oldest
	}
	for _, kind := range []string{KindSource, KindOriginal} {
		of := stored[kind]
		slices.SortFunc(of, func(a, b chunkstore.Info) int {
			return cmp.Or(a.ModTime.Compare(b.ModTime), cmp.Compare(a.Digest, b.Digest))
		})
		if err := e.evict(ctx, kind, of, limit.Add(-chunkstore.FreshFor)); err != nil {
			return err
		}
	}
	return nil
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

// candidate is a version that may be evicted.
type candidate struct {
	version *rechunk.Version
	last    time.Time // it was pulled, or made
}

// versions evicts the versions that nobody has pulled for longest.
func (e *eviction) versions(ctx context.Context) error {
	m, err := e.markNow(ctx, e.policy)
	if err != nil {
		return err
	}
	all, err := e.candidates(ctx, m)
	if err != nil || len(all) == 0 {
		return err
	}
	users := map[digest.Digest]int{} // versions that have a layer and may be evicted
	evicted := map[digest.Digest]bool{}
	for _, c := range all {
		evicted[c.version.Digest] = true
		for _, l := range c.version.Layers {
			users[l.Digest]++
		}
	}
	// What stays when all of them go.
	rest, err := e.mark(ctx, m.records, e.policy, evicted)
	if err != nil {
		return err
	}
	clear(evicted)
	for want := e.missing(); want > 0 && len(all) > 0; all = all[1:] {
		v := all[0].version
		evicted[v.Digest] = true
		for _, l := range v.Layers {
			if users[l.Digest]--; users[l.Digest] == 0 && rest.needs.content[l.Digest] == 0 {
				want -= l.Size
			}
		}
	}
	return e.collectFor(ctx, evicted)
}

// candidates lists the versions that may be evicted, the one that was pulled longest ago first.
func (e *eviction) candidates(ctx context.Context, m *marking) ([]candidate, error) {
	var out []candidate
	for _, versions := range m.records.lineages {
		for i := range versions {
			v := &versions[i]
			if i == 0 || m.tagged[v.Digest] {
				continue
			}
			last, err := e.LastPull(ctx, v.Digest)
			if err != nil {
				return nil, err
			}
			if v.Created.After(last) {
				last = v.Created
			}
			out = append(out, candidate{v, last})
		}
	}
	slices.SortFunc(out, func(a, b candidate) int {
		return cmp.Or(a.last.Compare(b.last), cmp.Compare(a.version.Digest, b.version.Digest))
	})
	return out, nil
}
