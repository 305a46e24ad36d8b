package chunkstore

import (
	"context"
	"sync"
	"time"
)

const (
	// stampTick is how long after a change another one may leave a directory the same time, whatever its file system.
	stampTick = 2 * time.Second
	// stampAge is how long a stamp stands for records that others may change unseen.
	stampAge = 2 * time.Second
	// stampAgeNew is that of a stamp of a directory that changed just now.
	stampAgeNew = time.Second
)

// RecordsStamp is taken of the records of a kind before they are listed. The zero value is none.
type RecordsStamp struct {
	at      time.Time
	changes uint64 // that this process made
	// dir is when a record last came or went, for backends that know; zero where there is no record.
	dir   time.Time
	knows bool
}

// Holds reports whether what was listed after s was taken is still so at now, a later stamp. What this process changed shows
// at once, what others did does on file systems; elsewhere within two seconds.
func (s RecordsStamp) Holds(now RecordsStamp) bool {
	if s.at.IsZero() || s.changes != now.changes || s.knows != now.knows || !s.dir.Equal(now.dir) {
		return false
	}
	age := now.at.Sub(s.at)
	switch {
	case age < 0:
		return false
	case !s.knows:
		return age < stampAge
	}
	return s.at.Sub(s.dir) > stampTick || age < stampAgeNew
}

// StampRecords takes a stamp of the records of a kind. It costs the backend one look at a directory, or nothing.
func (s *Store) StampRecords(ctx context.Context, kind string) (RecordsStamp, error) {
	if err := checkKind(kind); err != nil {
		return RecordsStamp{}, err
	}
	out := RecordsStamp{at: s.now(), changes: s.changes.of(kind), knows: s.dirs != nil}
	if !out.knows {
		return out, nil
	}
	fi, err := s.driver.Stat(ctx, recordsDir+"/"+kind)
	switch {
	case err != nil && anyCause(causes(err), isNotFound):
		return out, nil
	case err != nil:
		return RecordsStamp{}, failed("list records of kind "+kind, err)
	}
	out.dir = fi.ModTime()
	return out, nil
}

// changeCounts count what this process changed of the records of each kind.
type changeCounts struct {
	mu sync.Mutex
	n  map[string]uint64
}

func (c *changeCounts) of(kind string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[kind]
}

// recordChanged forgets what is remembered of a record.
func (s *Store) recordChanged(kind, key string) {
	s.cache.drop(cacheKey{kind: kind, name: key})
	s.kindChanged(kind)
}

func (s *Store) kindChanged(kind string) {
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	if s.changes.n == nil {
		s.changes.n = map[string]uint64{}
	}
	s.changes.n[kind]++
}
