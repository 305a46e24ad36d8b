package catalog

import (
	"context"
	"slices"
	"sync"
	"time"
)

// settling is how long after a record was written it is read again each time: backends whose clocks tick in seconds give
// two writes one time, and their clocks may be behind.
const settling = time.Minute

// Summaries are what is worth knowing at once of all records of a table. They are kept in memory, so that to ask for them
// costs a listing of the table's names and the reading of the records that changed since. They are safe for concurrent use.
type Summaries[K comparable, V, S any] struct {
	table *Table[K, V]
	of    func(K, *V) S
	now   func() time.Time

	mu    sync.Mutex // held while they are brought up to date
	known map[K]summary[S]
	all   []Summary[K, S]
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
	var names []K
	listed := map[K]time.Time{}
	err := s.table.List(ctx, Prefix[K]{}, func(key K, modified time.Time) error {
		names = append(names, key)
		listed[key] = modified
		return nil
	})
	if err != nil {
		return nil, err
	}
	changed := len(names) != len(s.known)
	for _, key := range names {
		had, ok := s.known[key]
		if ok && had.modified.Equal(listed[key]) && had.read.Sub(had.modified) > settling {
			continue
		}
		next := summary[S]{modified: listed[key], read: s.now()}
		v, err := s.table.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if next.present = v != nil; next.present {
			next.of = s.of(key, v)
		}
		s.known[key], changed = next, true
	}
	if !changed {
		return s.all, nil
	}
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
	return s.all, nil
}
