package chunkstore

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// entryOverhead is what an entry costs beside its bytes: key, list and map.
	entryOverhead = 256
	// largestShare is the part of the budget that one entry may take at most, so that a few large documents do not push out
	// all others.
	largestShare = 8
	epochStripes = 256
)

// cacheKey names content (kind "") by digest, or a record.
type cacheKey struct{ kind, name string }

type cacheEntry struct {
	bytes []byte
	read  time.Time // from the backend; zero for what does not grow old
}

// hotCache is a cache bounded by bytes, least recently used out first. A nil hotCache holds nothing. It is safe for
// concurrent use.
type hotCache struct {
	budget int64
	seed   maphash.Seed

	mu   sync.Mutex
	lru  *simplelru.LRU[cacheKey, cacheEntry]
	used int64
	// epochs count the drops of keys that hash to a stripe. A reader that asks the backend notes the epoch before and hands
	// it to put, so that what it read before a change is not cached after it.
	epochs [epochStripes]uint64
}

// newHotCache makes a cache of so many bytes; 0 means DefaultCacheBytes, a negative number no cache.
func newHotCache(budget int64) *hotCache {
	if budget == 0 {
		budget = DefaultCacheBytes
	}
	// The list is bounded by bytes, hence practically not by count.
	lru, err := simplelru.NewLRU[cacheKey, cacheEntry](math.MaxInt, nil)
	if budget < 0 || err != nil {
		return nil
	}
	return &hotCache{budget: budget, seed: maphash.MakeSeed(), lru: lru}
}

// get returns what is cached and was read after a time, unless it does not grow old.
func (c *hotCache) get(k cacheKey, after time.Time) ([]byte, bool) {
	if c == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.lru.Get(k)
	if !ok {
		return nil, false
	}
	if !e.read.IsZero() && !e.read.After(after) {
		return nil, false // others may take older ones
	}
	return e.bytes, true
}

// fits reports whether an entry of so many bytes would be cached at all.
func (c *hotCache) fits(n int) bool {
	return c != nil && int64(n)+entryOverhead <= c.budget/largestShare
}

// epoch is to be asked before the backend, and given to put.
func (c *hotCache) epoch(k cacheKey) uint64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epochs[c.stripe(k)]
}

// put caches b, which nobody may change from now on, unless it is too large or its key was dropped since the epoch.
func (c *hotCache) put(k cacheKey, b []byte, read time.Time, epoch uint64) {
	if !c.fits(len(b)) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epochs[c.stripe(k)] != epoch {
		return
	}
	c.forget(k)
	c.lru.Add(k, cacheEntry{bytes: b[:len(b):len(b)], read: read})
	c.used += cost(b)
	for c.used > c.budget {
		_, e, ok := c.lru.RemoveOldest()
		if !ok {
			break
		}
		c.used -= cost(e.bytes)
	}
}

// drop forgets a key, and what is being read under it at this moment.
func (c *hotCache) drop(k cacheKey) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs[c.stripe(k)]++
	c.forget(k)
}

// forget removes an entry; the lock is held.
func (c *hotCache) forget(k cacheKey) {
	if e, ok := c.lru.Peek(k); ok {
		c.lru.Remove(k)
		c.used -= cost(e.bytes)
	}
}

func (c *hotCache) stripe(k cacheKey) uint64 {
	return maphash.Comparable(c.seed, k) % epochStripes
}

func cost(b []byte) int64 { return int64(len(b)) + entryOverhead }
