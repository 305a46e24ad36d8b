package limits

import (
	"net/netip"
	"sync"
)

// Full says which bound was reached; the zero value is none.
type Full string

// The bounds.
const (
	All    Full = "all"     // on what all clients take together
	ByPeer Full = "address" // on what those from one address take
)

// Counter counts what clients hold at once: connections, requests. The zero value is ready. It is safe for concurrent use.
type Counter struct {
	mu   sync.Mutex
	all  int
	from map[netip.Addr]int
}

// Enter counts one more, or says which bound keeps it out. 0 is no bound. What was counted, Leave takes back.
func (c *Counter) Enter(who netip.Addr, all, each int) Full {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case all > 0 && c.all >= all:
		return All
	case each > 0 && c.from[who] >= each:
		return ByPeer
	}
	if c.from == nil {
		c.from = map[netip.Addr]int{}
	}
	c.all++
	c.from[who]++
	return ""
}

// Leave takes back one that Enter counted.
func (c *Counter) Leave(who netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.from[who]--; c.from[who] <= 0 {
		delete(c.from, who)
	}
}
