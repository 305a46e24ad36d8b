package access

import (
	"crypto/sha256"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// memory remembers MACs for a while, the latest ones of them. It is safe for concurrent use.
type memory struct {
	lasts time.Duration
	until *lru.Cache[[sha256.Size]byte, time.Time]
}

func newMemory(size int, lasts time.Duration) *memory {
	until, _ := lru.New[[sha256.Size]byte, time.Time](size) // fails for sizes below 1 only
	return &memory{lasts: lasts, until: until}
}

func (m *memory) add(mac [sha256.Size]byte, now time.Time) {
	m.until.Add(mac, now.Add(m.lasts))
}

func (m *memory) has(mac [sha256.Size]byte, now time.Time) bool {
	until, ok := m.until.Get(mac)
	return ok && now.Before(until)
}

// Failed logins of one user from one address: after so many within a window the rest of the window is waited for.
const (
	mostFailures  = 10
	failureWindow = time.Minute
	maxFailing    = 10_000
)

// failures counts failed logins. It is safe for concurrent use.
type failures struct {
	mu    sync.Mutex
	count *simplelru.LRU[string, failing]
}

type failing struct {
	n     int
	since time.Time
}

func newFailures() *failures {
	count, _ := simplelru.NewLRU[string, failing](maxFailing, nil) // fails for sizes below 1 only
	return &failures{count: count}
}

// wait returns how long somebody may not try again; 0: he may.
func (f *failures) wait(who string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.count.Get(who)
	if !ok || c.n < mostFailures {
		return 0
	}
	return max(c.since.Add(failureWindow).Sub(now), 0)
}

func (f *failures) note(who string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.count.Get(who)
	if !ok || now.Sub(c.since) >= failureWindow {
		c = failing{since: now}
	}
	c.n++
	f.count.Add(who, c)
}
