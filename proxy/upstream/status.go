package upstream

import (
	"slices"
	"strings"
	"time"
)

// HostStatus is how an upstream fares.
type HostStatus struct {
	Host string
	// State of the breaker: "closed" when the registry is asked, "open" when it is left alone, "half-open" when the next request
	// tries whether it is back.
	State string
	// PausedUntil is when the registry, after 429, may be asked again; zero when it may be now.
	PausedUntil time.Time
	Budget      Budget
	// Running are requests that were sent or wait to be, Held those that were not sent since the start: see ErrHeld.
	Running, Held int64
}

// Status tells how the upstreams fare that are configured or were asked lately, sorted by host.
func (c *Client) Status() []HostStatus {
	c = c.latest()
	now := c.now()
	var all []HostStatus
	add := func(h *host) {
		s := HostStatus{
			Host: h.name, State: h.gate.breaker.State().String(), Budget: h.budget.report(now), Running: h.running.Load(), Held: h.held.Load(),
		}
		if wait := h.gate.pause(); wait > 0 {
			s.PausedUntil = now.Add(wait)
		}
		all = append(all, s)
	}
	for _, h := range c.hosts {
		add(h)
	}
	for _, h := range c.strangers.Values() {
		add(h)
	}
	slices.SortFunc(all, func(a, b HostStatus) int { return strings.Compare(a.Host, b.Host) })
	return all
}
