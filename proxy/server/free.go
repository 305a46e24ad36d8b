package server

import (
	"sync"
	"time"

	"github.com/strata-oci/strata/chunkstore"
)

// freeEvery is how long the free space of a filesystem is believed to be what it was.
const freeEvery = time.Second

// smallShare is the most of a filesystem that is kept free: its part.
const smallShare = 20

// freeFloor keeps some of the store's filesystem free: what would fill it further is not kept, as if the quota was used up.
// Others need that space too, the proxy's temporary files and the system's logs among them. It is safe for concurrent use.
type freeFloor struct {
	chunkstore.Space
	dir   string
	floor func() int64 // bytes; 0: none

	mu   sync.Mutex
	free int64
	next time.Time // when to look again
}

// Room implements chunkstore.Space.
func (f *freeFloor) Room() int64 {
	room := f.Space.Room()
	floor := f.floor()
	if floor <= 0 {
		return room
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); !now.Before(f.next) {
		free, all, err := diskSpace(f.dir)
		if err != nil {
			return room // to write will tell
		}
		f.free, f.next = free-min(floor, all/smallShare), now.Add(freeEvery)
	}
	return min(room, f.free)
}

// Grew implements chunkstore.Space.
func (f *freeFloor) Grew(n int64) {
	f.mu.Lock()
	f.free -= n
	f.mu.Unlock()
	f.Space.Grew(n)
}
