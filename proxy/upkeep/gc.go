package upkeep

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

// GCOptions are those of one run.
type GCOptions struct {
	// DryRun looks and changes nothing.
	DryRun   bool
	Progress Progress
}

// GC removes what is not needed: versions by the retention rules, records that lead to nothing else, and content that
// nothing leads to. It may be interrupted at any point; the next run goes on. ErrBusy says that another one is under way.
func (k *Keeper) GC(ctx context.Context, o GCOptions) (GCReport, error) {
	var out GCReport
	err := k.only(ctx, workGC, func(ctx context.Context, t turn) (err error) {
		out, err = k.collect(ctx, t, o, nil)
		return err
	})
	return out, err
}

// collection is one run.
type collection struct {
	*Keeper
	GCOptions
	turn
	started time.Time
	policy  Policy
	alone   bool // no other process used the store when the run began
	// active and begun are what Activity said when the run began.
	active    time.Time
	begun     int64
	mark      *marking
	condemned condemned
	// released says that something was taken from the list of the condemned.
	released bool
	report   GCReport
}

// collect runs a gc. evicted are versions that go beside those that the rules let go.
func (k *Keeper) collect(ctx context.Context, t turn, o GCOptions, evicted map[digest.Digest]bool) (GCReport, error) {
	c := &collection{Keeper: k, GCOptions: o, turn: t, started: k.Now(), policy: k.Policy(), alone: k.Alone()}
	c.active, c.begun = k.Activity()
	c.report = GCReport{
		DryRun: o.DryRun, StartedAt: c.started.UTC(), Versions: []RemovedVersion{}, Records: map[string]int64{},
		Kinds: map[string]Amount{}, Damaged: []string{},
	}
	err := c.run(ctx, evicted)
	c.report.Seconds = k.Now().Sub(c.started).Seconds()
	if !o.DryRun {
		k.Metrics.Collected(c.report.Removed.Bytes, err)
	}
	if err != nil {
		return c.report, err
	}
	k.Logger.InfoContext(ctx, "gc", "dry_run", o.DryRun, "versions", len(c.report.Versions), "removed",
		c.report.Removed.Objects,
		"removed_bytes", c.report.Removed.Bytes, "waiting_bytes", c.report.Waiting.Bytes, "kept_bytes", c.report.Kept.Bytes,
		"seconds", c.report.Seconds)
	if o.DryRun {
		return c.report, nil
	}
	return c.report, note(ctx, t, k.gcNote(), gcRecord{FinishedAt: k.Now().UTC(), Report: c.report})
}

func (c *collection) run(ctx context.Context, evicted map[digest.Digest]bool) error {
	if err := c.read(ctx, evicted); err != nil {
		return err
	}
	defer c.mark.close()
	for _, step := range []func(context.Context) error{c.release, c.trim, c.dropRecords, c.sweep} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// read takes in the records and decides what stays.
func (c *collection) read(ctx context.Context, evicted map[digest.Digest]bool) (err error) {
	if c.condemned, err = c.readCondemned(ctx); err != nil {
		return err
	}
	n := len(c.condemned)
	c.mark, err = c.Keeper.mark(ctx, rules{policy: c.policy, evicted: evicted, condemned: c.condemned, progress: c.Progress})
	if err != nil {
		return err
	}
	c.released = len(c.condemned) < n
	c.report.Damaged = append(c.report.Damaged, slices.Sorted(slices.Values(c.mark.damaged))...)
	return nil
}

// release takes from the stored list of the condemned what a record leads to: its time counts from when that record is gone.
// It comes before any record is removed, so that a run that is killed later leaves no time that is too early.
func (c *collection) release(ctx context.Context) error {
	if !c.released || c.DryRun {
		return nil
	}
	return c.saveCondemned(ctx, c.turn, c.condemned)
}

// trim removes versions from their lineages. Those of a lineage that a job is at stay for this time.
func (c *collection) trim(ctx context.Context) error {
	going := map[string]map[digest.Digest]bool{}
	for _, v := range c.mark.gone {
		if going[v.Lineage] == nil {
			going[v.Lineage] = map[digest.Digest]bool{}
		}
		going[v.Lineage][v.Digest] = true
	}
	busy := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(going)) {
		if c.DryRun {
			break
		}
		of := going[key]
		b, err := c.Lineages.TrimLineage(ctx, key, func(_ int, v *rechunk.Version) bool { return !of[v.Digest] })
		if err != nil {
			return err
		}
		if busy[key] = b; b {
			if err := c.keepAll(ctx, key); err != nil {
				return err
			}
		}
	}
	for _, v := range c.mark.gone {
		if !busy[v.Lineage] {
			c.report.Versions = append(c.report.Versions, v)
		}
	}
	return nil
}

// keepAll marks all versions of a lineage that a job is at, and what is known of their layers.
func (c *collection) keepAll(ctx context.Context, key string) error {
	lineage, platform, _ := rechunk.SplitLineageKey(key)
	l, err := c.records.Lineages.Get(ctx, catalog.LineageKey{Lineage: lineage, Platform: platform})
	if l == nil || err != nil {
		return err
	}
	for i := range l.Versions {
		if err := c.mark.version(&l.Versions[i]); err != nil {
			return err
		}
		for _, layer := range l.Versions[i].Layers {
			x, err := c.records.Indexes.Get(ctx, layer.Digest)
			if err != nil {
				return err
			}
			if x == nil {
				continue
			}
			if err := c.mark.add(x.Digest, catalog.LayerIndex); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropRecords removes the records that are not needed, unless they were written since the run began.
func (c *collection) dropRecords(ctx context.Context) error {
	limit := c.started.Add(-chunkstore.FreshFor)
	if c.Exclusive {
		limit = c.started.Add(chunkstore.FreshFor)
	}
	place := map[string]int{}
	for i, kind := range catalog.Kinds() {
		place[kind.Name] = i
	}
	slices.SortFunc(c.mark.going, func(a, b going) int {
		return cmp.Or(cmp.Compare(place[a.kind], place[b.kind]), compareBools(a.last, b.last), cmp.Compare(a.key, b.key))
	})
	for _, r := range c.mark.going {
		kept := false
		if r.owner != (catalog.Owner{}) {
			var err error
			if kept, err = c.mark.needed(r.owner); err != nil { // by now
				return err
			}
		}
		if kept || !r.modified.Before(limit) {
			continue
		}
		gone := true
		if !c.DryRun {
			var err error
			if gone, err = c.Chunks.DeleteRecordUnused(ctx, r.kind, r.key, limit); err != nil {
				return err
			}
		}
		if gone {
			c.report.Records[r.kind]++
		}
	}
	return nil
}

// compareBools puts false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// limits are the times that decide on content.
type limits struct {
	// now is when the last record was removed.
	now time.Time
	// condemned: what is known to be unreachable since then at the latest may go.
	condemned time.Time
	// stored: what was stored before may go.
	stored time.Time
}

// limits says what may go. Work of this process is known: while there is none, what no record leads to is needed by nobody;
// else what was led to when it began stays. That of other processes is not known, so it is given time.
func (c *collection) limits() limits {
	l := limits{now: c.Now()}
	if c.Exclusive {
		l.condemned, l.stored = l.now, l.now.Add(chunkstore.FreshFor)
		return l
	}
	l.condemned = l.now
	if !c.alone || !c.Alone() {
		l.condemned = l.now.Add(-c.policy.Grace)
	}
	if _, begun := c.Activity(); begun != c.begun || !c.active.IsZero() {
		// Something may have been published since the records were read.
		l.condemned = earliest(l.condemned, c.started, c.active)
	}
	// What a writer found stored is as old as this when the writer began.
	l.stored = l.condemned.Add(-chunkstore.FreshFor)
	return l
}

// earliest returns the first of the times that are not zero.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// sweep removes content that nothing leads to.
func (c *collection) sweep(ctx context.Context) error {
	l := c.limits()
	next := condemned{}
	err := c.Chunks.Walk(ctx, func(i chunkstore.Info) error {
		u, err := c.mark.use(i.Digest)
		if err != nil {
			return err
		}
		if u != 0 {
			c.report.Kept.add(i.Size)
			of := c.report.Kinds[kindOf(u)]
			of.add(i.Size)
			c.report.Kinds[kindOf(u)] = of
			return nil
		}
		since, known := c.condemned[i.Digest]
		if !known {
			since = l.now
		}
		gone, err := c.sweepOne(ctx, i, since, l)
		if err != nil {
			return err
		}
		if c.DryRun {
			c.report.list(IdleContent{Digest: i.Digest, Bytes: i.Size, Stored: i.ModTime.UTC(), Goes: gone,
				Reason: c.reason(i, since, l)})
		}
		if gone {
			c.report.Removed.add(i.Size)
		} else {
			c.report.Waiting.add(i.Size)
			if known || len(next) < maxCondemned {
				next[i.Digest] = since
			}
		}
		c.Progress.tell("sweep", c.report.Removed.Objects+c.report.Waiting.Objects, 0)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(c.report.Content, func(a, b IdleContent) int { return cmp.Compare(b.Bytes, a.Bytes) })
	if c.DryRun || maps.EqualFunc(next, c.condemned, time.Time.Equal) {
		return nil
	}
	return c.saveCondemned(ctx, c.turn, next)
}

// reason says why content that nothing leads to goes, or does not yet.
func (c *collection) reason(i chunkstore.Info, since time.Time, l limits) string {
	switch {
	case len(c.report.Damaged) > 0:
		return "waits until the damaged records are put aside: they may have led to it"
	case since.After(l.condemned) && !c.alone:
		return "waits for gc.grace: other processes on the store may be about to use it"
	case since.After(l.condemned):
		return "waits for the work that is under way"
	case !i.ModTime.Before(l.stored):
		return "was stored just now"
	}
	return "no tag and no version that stays leads to it"
}

// sweepOne removes content if that is safe, and reports whether it is gone.
func (c *collection) sweepOne(ctx context.Context, i chunkstore.Info, since time.Time, l limits) (bool, error) {
	if len(c.report.Damaged) > 0 || since.After(l.condemned) || !i.ModTime.Before(l.stored) {
		return false, nil
	}
	if c.DryRun {
		return true, nil
	}
	return c.Chunks.DeleteUnused(ctx, i.Digest, l.stored)
}
