package chunkstore

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func key(i int) cacheKey { return cacheKey{kind: "k", name: fmt.Sprint(i)} }

func TestCacheIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	const budget = 100_000
	c := newHotCache(budget)
	for i := range 1000 {
		b := make([]byte, i*13%20_000)
		c.put(key(i%300), b, time.Time{}, c.epoch(key(i%300)))
		if c.used > budget {
			t.Fatalf("%d bytes are used", c.used)
		}
		if _, ok := c.get(key(i%300), time.Time{}); ok != c.fits(len(b)) {
			t.Errorf("an entry of %d bytes is cached: %t", len(b), ok)
		}
	}
	var sum int64
	for _, e := range c.lru.Values() {
		sum += cost(e.bytes)
	}
	if sum != c.used {
		t.Errorf("the entries take %d bytes, counted are %d", sum, c.used)
	}
	if c.fits(budget / 8) {
		t.Error("one entry may take more than an eighth")
	}
}

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	c := newHotCache(10 * (entryOverhead + 1000) * largestShare / 8)
	for i := range 100 {
		c.put(key(i), make([]byte, 1000), time.Time{}, 0)
		if _, ok := c.get(key(0), time.Time{}); !ok {
			t.Fatalf("the entry in use went out after %d others", i)
		}
	}
	if _, ok := c.get(key(50), time.Time{}); ok {
		t.Error("an old entry is still there")
	}
}

func TestCacheExpiry(t *testing.T) {
	t.Parallel()
	c, now := newHotCache(0), time.Unix(1000, 0)
	c.put(key(1), []byte("x"), now, 0)
	if _, ok := c.get(key(1), now); ok {
		t.Error("what is too old is given")
	}
	if _, ok := c.get(key(1), now.Add(-1)); !ok {
		t.Error("what is young enough is not given, after somebody wanted a younger one")
	}
}

// What was read before a change must not be cached after it.
func TestCacheEpoch(t *testing.T) {
	t.Parallel()
	c := newHotCache(0)
	before := c.epoch(key(1))
	c.drop(key(1))
	c.put(key(1), []byte("old"), time.Time{}, before)
	if b, ok := c.get(key(1), time.Time{}); ok {
		t.Errorf("cached %q", b)
	}
	c.put(key(1), []byte("new"), time.Time{}, c.epoch(key(1)))
	if b, _ := c.get(key(1), time.Time{}); string(b) != "new" {
		t.Errorf("cached %q", b)
	}
}

func TestNoCache(t *testing.T) {
	t.Parallel()
	c := newHotCache(-1)
	c.put(key(1), nil, time.Time{}, c.epoch(key(1)))
	c.drop(key(1))
	if _, ok := c.get(key(1), time.Time{}); ok {
		t.Error("something is cached")
	}
}

func TestCacheConcurrency(t *testing.T) {
	t.Parallel()
	c := newHotCache(50_000)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 500 {
				k := key((i * g) % 40)
				if i%7 == 0 {
					c.drop(k)
				}
				c.put(k, make([]byte, i), time.Time{}, c.epoch(k))
				c.get(k, time.Time{})
			}
		})
	}
	all.Wait()
	if c.used < 0 || c.used > 50_000 {
		t.Errorf("%d bytes are used", c.used)
	}
}
