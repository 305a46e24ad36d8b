package admin

import (
	"sync"

	"github.com/strata-oci/strata/proxy/operate"
)

// maxEvents bounds a queue: a client this far behind misses progress, but no final event.
const maxEvents = 1000

// eventQueue hands events from jobs, which it never holds up, to a client, who may be slow. Progress that was not taken yet
// is replaced by later progress on the same thing.
type eventQueue struct {
	mu      sync.Mutex
	changed *sync.Cond
	events  []operate.WarmEvent
	closed  bool
}

func newEventQueue() *eventQueue {
	q := &eventQueue{}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// put adds an event.
func (q *eventQueue) put(e operate.WarmEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := len(q.events) - 1; i >= 0 && !e.Final(); i-- {
		old := &q.events[i]
		if old.Reference == e.Reference && old.Platform == e.Platform && old.State == e.State && old.Phase == e.Phase {
			*old = e
			return
		}
	}
	if len(q.events) >= maxEvents && !e.Final() {
		return
	}
	q.events = append(q.events, e)
	q.changed.Signal()
}

// close tells that no more events come.
func (q *eventQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Signal()
}

// take waits for events and returns them, and whether more may come. One goroutine may take.
func (q *eventQueue) take() (events []operate.WarmEvent, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.events) == 0 && !q.closed {
		q.changed.Wait()
	}
	events, q.events = q.events, nil
	return events, !q.closed
}
