package server

import "runtime"

// senders are the places of threads that send files: as many as there are processors, less one. The kernel sends as long as a client
// keeps up, and meanwhile neither its thread nor the processor does anything else. So one processor is left for what is small and for
// the network's events, which Go's scheduler looks at only when a processor has nothing to run: beside downloads that keep all of them
// busy, a manifest would wait for its next look every ten milliseconds.
type senders chan struct{}

func newSenders() senders { return make(senders, max(1, runtime.GOMAXPROCS(0)-1)) }

const (
	// sendTurn is how many bytes of a file are sent before another connection has its turn.
	sendTurn = 1 << 20
	// sendSmall is up to how many bytes are sent without waiting for a place.
	sendSmall = 128 << 10
)
