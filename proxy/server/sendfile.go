package server

import (
	"runtime"
	"sync/atomic"
	"time"
)

// senders leave one processor to requests that want little, as long as there are any. The kernel sends a file as long as a
// client keeps up, and meanwhile neither its thread nor the processor does anything else. Go's scheduler looks for the
// network's events only where a processor has nothing to run: beside downloads that keep all of them busy, a manifest would
// wait for its next look every ten milliseconds. So files are sent from places, of which there is one less than processors.
// Where nobody wants anything but files, all processors send them. It is safe for concurrent use.
type senders struct {
	places chan struct{}
	began  time.Time
	asked  atomic.Int64 // when something else than a file was wanted last, in nanoseconds since it began; 0: never
}

const (
	// sendTurn is how many bytes of a file are sent before another connection has its turn.
	sendTurn = 1 << 20
	// sendSmall is up to how many bytes are sent without a place.
	sendSmall = 128 << 10
	// sendHeed is for how long a place is kept free after a request for something else.
	sendHeed = time.Second
)

func newSenders(places int) *senders {
	return &senders{places: make(chan struct{}, places), began: time.Now()}
}

// spare is the number of processors less one, which is the number of places.
func spare() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// asks tells of a request for something else than a file.
func (s *senders) asks() {
	if s != nil {
		s.asked.Store(max(1, int64(time.Since(s.began))))
	}
}

// heeds reports whether a place is needed to send a file.
func (s *senders) heeds() bool {
	last := s.asked.Load()
	return last != 0 && time.Since(s.began)-time.Duration(last) < sendHeed
}
