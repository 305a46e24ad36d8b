package content

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/name"
)

const (
	// lossEvery bounds how often a repository's images are looked through because clients ask for what nobody has.
	lossEvery = time.Minute
	maxLosses = 10_000
)

// Losses remember the repositories of which clients asked for something by digest that neither the store nor the
// upstream has: a layer that was made here may have been lost. They are safe for concurrent use.
type Losses struct {
	now  func() time.Time
	mu   sync.Mutex
	last *lru.Cache[name.Repository, time.Time]
}

// NewLosses returns losses by a clock.
func NewLosses(now func() time.Time) *Losses {
	last, _ := lru.New[name.Repository, time.Time](maxLosses) // fails for sizes below 1 only
	return &Losses{now: now, last: last}
}

// Note remembers that a repository missed something.
func (l *Losses) Note(repo name.Repository) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if last, ok := l.last.Get(repo); !ok || now.Sub(last) >= lossEvery {
		l.last.Add(repo, now)
	}
}

// Since reports whether a repository missed something after a time.
func (l *Losses) Since(repo name.Repository, t time.Time) bool {
	last, ok := l.last.Get(repo)
	return ok && t.Before(last)
}
