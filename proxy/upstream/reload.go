package upstream

import (
	"net/http"
	"reflect"
)

// Prepare checks other options and returns what Become makes of them. Hosts whose settings are the same stay what they are: their
// connections, limits and what is known of their health. Nothing changes yet.
func (c *Client) Prepare(o Options) (*Client, error) {
	current := c.latest()
	next, err := New(o)
	if err != nil {
		return nil, err
	}
	for host, config := range next.configs {
		// Files may hold something else by now.
		if before, ok := current.configs[host]; ok && config.CAFile == "" && reflect.DeepEqual(before, config) {
			next.hosts[host], next.pools[host] = current.hosts[host], current.pools[host]
		}
	}
	if next.unlisted != nil && current.unlisted != nil {
		next.unlisted, next.strangers, next.pools[""] = current.unlisted, current.strangers, current.pools[""]
	}
	return next, nil
}

// Become makes c do as next, which Prepare made, from now on. Requests under way go on as they began.
func (c *Client) Become(next *Client) {
	before := c.latest()
	c.next.Store(next)
	for host, pool := range before.pools {
		if kept := next.pools[host]; len(kept) == 0 || kept[0] != pool[0] {
			closeIdle(pool)
		}
	}
}

// latest is the client that c has become.
func (c *Client) latest() *Client {
	if next := c.next.Load(); next != nil {
		return next
	}
	return c
}

func closeIdle(pool []*http.Transport) {
	for _, t := range pool {
		t.CloseIdleConnections()
	}
}
