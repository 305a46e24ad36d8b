package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
)

// counts are events by name. It is safe for concurrent use.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what]++
}

// most returns the name that was counted most often.
func (c *counts) most() (what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(c.n)) {
		if c.n[k] > n {
			what, n = k, c.n[k]
		}
	}
	return what, n
}

func (c *counts) write(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(c.n)) {
		fmt.Fprintf(w, "%8d  %s\n", c.n[k], k)
	}
}

// violations are breaches of what the proxy promises. It is safe for concurrent use.
type violations struct {
	mu  sync.Mutex
	all []string
}

func (v *violations) report(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all = append(v.all, fmt.Sprintf(format, args...))
}

func (v *violations) list() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.all)
}
