package service

import (
	"hash/maphash"
	"sync"
)

// stripedMutex locks by key. Different keys may share a lock, so nobody holds two.
type stripedMutex struct {
	stripes [64]sync.Mutex
}

// stripeSeed only spreads keys; any value will do.
var stripeSeed = maphash.MakeSeed()

func (m *stripedMutex) lock(key string) (unlock func()) {
	stripe := &m.stripes[maphash.String(stripeSeed, key)%uint64(len(m.stripes))]
	stripe.Lock()
	return stripe.Unlock
}
