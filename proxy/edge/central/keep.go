package central

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/edge/pairs"
	"github.com/strata-oci/strata/proxy/flight"
)

// sink keeps deltas in the store, and the records that lead to them.
type sink struct{ *Central }

// Create implements flight.Sink.
func (s sink) Create(ctx context.Context, id digest.Digest) (flight.Writer, error) {
	s.mu.Lock()
	j := s.jobs[id]
	s.mu.Unlock()
	if j == nil {
		return nil, fmt.Errorf("delta %s: %w", id, errUnwanted)
	}
	w, err := s.Chunks.Create(ctx)
	if err != nil {
		return nil, err
	}
	return &deltaWriter{Writer: w, central: s.Central, job: j}, nil
}

// deltaWriter writes one delta into the store.
type deltaWriter struct {
	*chunkstore.Writer
	central *Central
	job     *job
	written int64
}

// Write implements io.Writer.
func (w *deltaWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.written += int64(n)
	return n, err
}

// Commit implements flight.Writer: what leads to the delta is written when that is there.
func (w *deltaWriter) Commit(ctx context.Context) (err error) {
	if w.job.passing() { // no one would ever be looked up for it
		w.job.settle(errBroken)
		return w.Cancel(ctx)
	}
	if w.job.above == nil && pairs.Gainless(w.written, w.job.size) { // those who waited have it, and it is not kept
		w.job.settle(errNoGain)
		return w.Cancel(ctx)
	}
	defer func() { w.job.settle(err) }()
	d, err := w.Writer.Commit(ctx, chunkstore.Expected{Size: chunkstore.AnySize})
	if err != nil {
		return err
	}
	j, c := w.job, w.central
	j.mu.Lock()
	rec := &catalog.Delta{
		Digest: d.Digest, Size: d.Size, BlobSize: j.size, Repository: j.repo.String(), Worth: j.worth, Allowed: j.allowed,
		Needs: j.made.needs, At: c.Now().UTC(), Seconds: j.made.seconds, Cost: j.made.cost,
	}
	key := j.key
	j.mu.Unlock()
	if err := c.Records.Deltas.Put(ctx, key, rec); err != nil {
		return err
	}
	j.note(rec)
	c.shelf.put(key, *rec, c.Now())
	c.shelf.wake()
	c.mu.Lock()
	c.hindered = nil
	c.mu.Unlock()
	c.Metrics.DeltaMade(rec.Size, rec.BlobSize, rec.Seconds)
	c.Logger.InfoContext(ctx, "delta made", "repository", rec.Repository, "layer", key.Layer.String(), "seed",
		key.Seed.String(), "bytes", rec.Size, "layer_bytes", rec.BlobSize, "worth", rec.Worth, "seconds", rec.Seconds)
	return nil
}

// current returns what is known of a delta: that it was stored, or a refusal that is still believed; nil where neither is.
func (c *Central) current(ctx context.Context, key catalog.DeltaKey) (*catalog.Delta, error) {
	rec, err := c.Records.Deltas.Get(ctx, key)
	if err != nil || rec == nil || rec.Refused != "" && !c.Now().Before(rec.Until) {
		return nil, err
	}
	return rec, nil
}

// there returns the record of a delta that needs not be made: it is stored, or refused.
func (c *Central) there(ctx context.Context, key catalog.DeltaKey) *catalog.Delta {
	rec, err := c.current(ctx, key)
	if err == nil && rec != nil && rec.Refused == "" {
		_, err = c.Chunks.Stat(ctx, rec.Digest)
	}
	if err != nil {
		return nil
	}
	return rec
}

// keep stores the record of a refusal.
func (c *Central) keep(ctx context.Context, key catalog.DeltaKey, rec *catalog.Delta) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), writePatience)
	defer stop()
	if err := c.Records.Deltas.Put(ctx, key, rec); err != nil {
		c.Logger.WarnContext(ctx, "refusal of a delta could not be noted", "layer", key.Layer.String(), "error", err)
		return
	}
	c.shelf.put(key, *rec, c.Now())
	c.shelf.wake()
}

// writePatience bounds the writing of a record.
const writePatience = 30 * time.Second

// maxRecords bounds the deltas and refusals that are remembered.
const maxRecords = 10_000

// shelf knows the records of deltas, for choosing, for telling, and for what has to go. It is safe for concurrent use.
type shelf struct {
	changed chan struct{} // holds a token when something was added

	mu    sync.Mutex
	known map[catalog.DeltaKey]entry
	bytes int64
}

// entry is a record, and when it was of use.
type entry struct {
	catalog.Delta
	used time.Time
}

func newShelf() *shelf {
	return &shelf{changed: make(chan struct{}, 1), known: map[catalog.DeltaKey]entry{}}
}

func (s *shelf) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// put notes a record that was stored or of use just now.
func (s *shelf) put(key catalog.DeltaKey, rec catalog.Delta, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += rec.Size - s.known[key].Size
	s.known[key] = entry{rec, now}
}

func (s *shelf) drop(key catalog.DeltaKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= s.known[key].Size
	delete(s.known, key)
}

// get returns what is known of a delta, or nil.
func (s *shelf) get(key catalog.DeltaKey) *catalog.Delta {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.known[key]; ok {
		return &e.Delta
	}
	return nil
}

// stored is how many bytes of deltas there are.
func (s *shelf) stored() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// others lists the deltas of a pair that were made for others and are as good for a client: it runs what they need, and what
// it can run more than that would not have helped.
func (s *shelf) others(key catalog.DeltaKey, host string, worth int64, p programs) []catalog.DeltaKey {
	return s.choose(key, host, p, func(e entry) bool {
		return e.Worth == worth &&
			!slices.ContainsFunc(p.allowed, func(a string) bool { return !slices.Contains(e.Allowed, a) })
	}, func(a, b entry) int { return cmp.Compare(a.Size, b.Size) })
}

// all lists the deltas of a pair that a client can use at all: those that take it no more time than it asked for come first,
// and then those that take it least.
func (s *shelf) all(key catalog.DeltaKey, host string, worth int64, p programs) []catalog.DeltaKey {
	return s.choose(key, host, p, func(entry) bool { return true }, func(a, b entry) int {
		switch quick := a.Worth >= worth; {
		case quick != (b.Worth >= worth):
			return cmp.Compare(b.Worth, a.Worth)
		case quick:
			return cmp.Or(cmp.Compare(a.Worth, b.Worth), cmp.Compare(a.Size, b.Size))
		}
		return cmp.Or(cmp.Compare(b.Worth, a.Worth), cmp.Compare(a.Size, b.Size))
	})
}

// choose lists the deltas of a pair for which a client has the programs and that are wanted, in an order. What came from
// above for one registry is none for another.
func (s *shelf) choose(key catalog.DeltaKey, host string, p programs, want func(entry) bool, order func(a, b entry) int,
) []catalog.DeltaKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []catalog.DeltaKey
	for k, e := range s.known {
		if k.Layer == key.Layer && k.Seed == key.Seed && k != key && e.Digest != "" && p.runs(e.Needs) && want(e) &&
			(k.Variant == variant(e.Worth, e.Allowed) || k.Variant == aboveVariant(host, e.Worth, e.Allowed)) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b catalog.DeltaKey) int { return order(s.known[a], s.known[b]) })
	return out
}

// surplus chooses what goes: what was refused and may be tried again, and what was of no use for longest while there is too
// much.
func (s *shelf) surplus(now time.Time, keep int64) []catalog.DeltaKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out, left []catalog.DeltaKey
	for k, e := range s.known {
		if e.Refused != "" && now.After(e.Until) {
			out = append(out, k)
		} else {
			left = append(left, k)
		}
	}
	slices.SortFunc(left, func(a, b catalog.DeltaKey) int { return s.known[a].used.Compare(s.known[b].used) })
	bytes := s.bytes
	for n := len(left); len(left) > 0 && (n > maxRecords || bytes > keep); n-- {
		k := left[0]
		left = left[1:]
		if e := s.known[k]; e.Digest != "" || n > maxRecords {
			bytes -= e.Size
			out = append(out, k)
		}
	}
	return out
}

// list calls fn for each record, in no order.
func (s *shelf) list(fn func(catalog.DeltaKey, entry)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, e := range s.known {
		fn(k, e)
	}
}

const (
	// lookEvery is how often the records are listed, for what other replicas and gc have done.
	lookEvery = 10 * time.Minute
	// tidyEvery is the least time between two looks for what has to go.
	tidyEvery = 5 * time.Second
)

// keepShelf reads the records, and holds deltas to the space that they may take.
func (c *Central) keepShelf(ctx context.Context) {
	for {
		c.look(ctx)
		again := time.NewTimer(lookEvery)
		for looking := false; !looking && ctx.Err() == nil; {
			c.tidy(ctx)
			pause := time.NewTimer(tidyEvery)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			select {
			case <-c.shelf.changed:
			case <-again.C:
				looking = true
			case <-ctx.Done():
			}
			pause.Stop()
		}
		again.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// look reads records that are not known, and forgets those that are gone.
func (c *Central) look(ctx context.Context) {
	there := map[catalog.DeltaKey]bool{}
	err := c.Records.Deltas.List(ctx, catalog.Prefix[catalog.DeltaKey]{}, func(k catalog.DeltaKey, at time.Time) error {
		known := c.shelf.get(k)
		rec, err := known, error(nil)
		if known == nil {
			rec, err = c.Records.Deltas.Get(ctx, k)
		}
		if rec == nil || err != nil {
			return err
		}
		if rec.Digest != "" {
			if _, err := c.Chunks.Stat(ctx, rec.Digest); errors.Is(err, chunkstore.ErrNotFound) {
				return nil // the record of something that was evicted counts for nothing
			}
		}
		there[k] = true
		if known == nil {
			c.shelf.put(k, *rec, at)
		}
		return ctx.Err()
	})
	if err != nil {
		if ctx.Err() == nil {
			c.Logger.WarnContext(ctx, "records of deltas could not be read", "error", err)
		}
		return
	}
	limit := c.Now().Add(-lookEvery)
	var gone []catalog.DeltaKey
	c.shelf.list(func(k catalog.DeltaKey, e entry) {
		if !there[k] && e.At.Before(limit) {
			gone = append(gone, k)
		}
	})
	for _, k := range gone {
		c.shelf.drop(k)
	}
	c.tell()
}

// tidy removes what is too much: the record first, so that nothing leads to content that is not there.
func (c *Central) tidy(ctx context.Context) {
	for _, k := range c.shelf.surplus(c.Now(), c.Keep()) {
		if err := c.remove(ctx, k); err != nil {
			if ctx.Err() == nil {
				c.Logger.WarnContext(ctx, "a delta could not be removed", "layer", k.Layer.String(), "error", err)
			}
			return
		}
	}
	c.tell()
}

func (c *Central) remove(ctx context.Context, k catalog.DeltaKey) error {
	rec, err := c.Records.Deltas.Get(ctx, k)
	if err != nil {
		return err
	}
	known := c.shelf.get(k)
	if rec != nil && known != nil && (rec.Digest != known.Digest || !rec.At.Equal(known.At)) {
		c.shelf.put(k, *rec, c.Now()) // another replica's, which was not looked at
		return nil
	}
	if err := c.Records.Deltas.Delete(ctx, k); err != nil {
		return err
	}
	c.shelf.drop(k)
	if rec == nil || rec.Digest == "" || c.shared(rec.Digest) {
		return nil
	}
	_, err = c.Chunks.DeleteUnused(ctx, rec.Digest, c.Now().Add(time.Hour))
	return err
}

// shared reports whether another delta has the same bytes.
func (c *Central) shared(d digest.Digest) bool {
	found := false
	c.shelf.list(func(_ catalog.DeltaKey, e entry) { found = found || e.Digest == d })
	return found
}

// tell tells metrics how things stand.
func (c *Central) tell() {
	waiting, running := c.line.waiting()
	c.Metrics.Deltas(waiting, running, c.shelf.stored())
}
