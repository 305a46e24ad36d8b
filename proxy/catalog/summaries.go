package catalog

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/strata-oci/strata/chunkstore"
)

// settling is how long after a record was written it is read again each time: backends whose clocks tick in seconds give
// two writes one time, and their clocks may be behind.
const settling = time.Minute

// Summaries are what is worth knowing at once of all records of a table. They are kept in memory, so that to ask for them
// costs next to nothing while no record changed, and after that a listing of the table's names and the reading of the
// records that changed. Shelve and Keep have them outlive the process. They are safe for concurrent use.
type Summaries[K comparable, V, S any] struct {
	table *Table[K, V]
	of    func(K, *V) S
	now   func() time.Time

	mu    sync.Mutex // held while they are brought up to date
	stamp chunkstore.RecordsStamp
	known map[K]summary[S]
	all   []Summary[K, S]
	shelf *shelf
	anew  int // records that were read since they were shelved
}

// Summary is what is worth knowing of a record.
type Summary[K, S any] struct {
	Key K
	Of  S
}

// summary is a Summary as of a time.
type summary[S any] struct {
	modified time.Time // the record, by the backend's clock
	read     time.Time
	present  bool // it could be read
	of       S
}

// NewSummaries makes summaries of what of returns, which must not hold on to the record where that is large.
func NewSummaries[K comparable, V, S any](t *Table[K, V], now func() time.Time, of func(K, *V) S) *Summaries[K, V, S] {
	return &Summaries[K, V, S]{table: t, of: of, now: now, known: map[K]summary[S]{}}
}

// All returns the summaries of all records as they are now, in the order of their keys. They are shared: who asks changes
// nothing in them.
func (s *Summaries[K, V, S]) All(ctx context.Context) ([]Summary[K, S], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp, err := s.table.store.StampRecords(ctx, s.table.kind.name)
	if err != nil {
		return nil, err
	}
	if s.stamp.Holds(stamp) {
		return s.all, nil
	}
	if err := s.unshelve(ctx); err != nil {
		return nil, err
	}
	var names []K
	listed := map[K]time.Time{}
	err = s.table.List(ctx, Prefix[K]{}, func(key K, modified time.Time) error {
		names = append(names, key)
		listed[key] = modified
		return nil
	})
	if err != nil {
		return nil, err
	}
	changed, err := s.read(ctx, names, listed)
	if err != nil {
		return nil, err
	}
	s.stamp = stamp
	if changed {
		s.settle(names, listed)
	}
	return s.all, nil
}

// read reads the records that may have changed, and reports whether any did.
func (s *Summaries[K, V, S]) read(ctx context.Context, names []K, listed map[K]time.Time) (bool, error) {
	changed := len(names) != len(s.known) || s.all == nil
	for _, key := range names {
		had, ok := s.known[key]
		if ok && had.modified.Equal(listed[key]) && had.read.Sub(had.modified) > settling {
			continue
		}
		next := summary[S]{modified: listed[key], read: s.now()}
		v, err := s.table.Get(ctx, key)
		if err != nil {
			return false, err
		}
		if next.present = v != nil; next.present {
			next.of = s.of(key, v)
		}
		s.known[key], changed = next, true
		s.anew++
	}
	return changed, nil
}

// settle takes over what is known of the records that there are.
func (s *Summaries[K, V, S]) settle(names []K, listed map[K]time.Time) {
	s.all = make([]Summary[K, S], 0, len(names))
	for _, key := range names {
		if one := s.known[key]; one.present {
			s.all = append(s.all, Summary[K, S]{key, one.of})
		}
	}
	for key := range s.known {
		if _, ok := listed[key]; !ok {
			delete(s.known, key)
		}
	}
	s.all = slices.Clip(s.all)
}
