package access

import (
	"crypto/sha256"
	"net/netip"
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

// Failed logins from one address: after so many within a window each further one is followed by a pause, until the window
// ends.
const (
	mostFailures  = 10
	failureWindow = time.Minute
	failurePause  = 500 * time.Millisecond
	maxFailing    = 10_000
)

// failures counts failed logins. It is safe for concurrent use.
type failures struct {
	mu    sync.Mutex
	count *simplelru.LRU[netip.Addr, failing]
}

type failing struct {
	n     int
	since time.Time
}

func newFailures() *failures {
	count, _ := simplelru.NewLRU[netip.Addr, failing](maxFailing, nil) // fails for sizes below 1 only
	return &failures{count: count}
}

// note counts one and reports whether there were too many.
func (f *failures) note(from netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.count.Get(from)
	if !ok || now.Sub(c.since) >= failureWindow {
		c = failing{since: now}
	}
	c.n++
	f.count.Add(from, c)
	return c.n > mostFailures
}
