package client

import "reflect"

// Prepare checks other options and returns what Become makes of them. Hosts whose settings are the same stay what they
// are: their connections, limits and what is known of their health. Nothing changes yet.
func (c *Client) Prepare(o Options) (*Client, error) {
	current := c.latest()
	next, err := New(o)
	if err != nil {
		return nil, err
	}
	for key, h := range next.hosts {
		// Files may hold something else by now.
		if before, ok := current.hosts[key]; ok && h.config.CAFile == "" && reflect.DeepEqual(before.config, h.config) {
			next.hosts[key] = before
		}
	}
	if next.strangers != nil && current.strangers != nil {
		next.strangers = current.strangers
	}
	return next, nil
}

// Become makes c do as next, which Prepare made, from now on. Requests under way go on as they began.
func (c *Client) Become(next *Client) {
	before := c.latest()
	c.next.Store(next)
	for key, h := range before.hosts {
		if next.hosts[key] != h {
			h.CloseIdle()
		}
	}
	if before.strangers != nil && before.strangers != next.strangers {
		before.strangers.CloseIdle()
	}
}

// latest is the client that c has become.
func (c *Client) latest() *Client {
	if next := c.next.Load(); next != nil {
		return next
	}
	return c
}
