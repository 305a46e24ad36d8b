package access

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// longestWait is how long a login waits for being looked at.
const longestWait = 10 * time.Second

// lanes let logins from one address be looked at one after the other. The newest goes first, and when too many wait, the
// oldest gives way: a flood takes its own turns, not those of who comes after it. It is safe for concurrent use.
type lanes struct {
	most int // that wait from one address

	mu sync.Mutex
	// waiting is there for each address that a login from is being looked at.
	waiting map[netip.Addr][]turn
}

// turn is a login that waits. It is told true when it is its turn, false when it has to give way.
type turn chan bool

func newLanes(most int) *lanes { return &lanes{most: most, waiting: map[netip.Addr][]turn{}} }

// enter waits for the turn of a login, which lasts until leave is called.
func (l *lanes) enter(ctx context.Context, from netip.Addr) (leave func(), err error) {
	leave = func() { l.next(from) }
	t := l.join(from)
	if t == nil {
		return leave, nil
	}
	timer := time.NewTimer(longestWait)
	defer timer.Stop()
	select {
	case mine := <-t:
		if mine {
			return leave, nil
		}
		return nil, &BusyError{RetryAfter: longestWait}
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = &BusyError{RetryAfter: longestWait}
	}
	if !l.give(from, t) && <-t {
		leave() // it came at the last moment
	}
	return nil, err
}

// join returns nil when there is nobody to wait for.
func (l *lanes) join(from netip.Addr) turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting, busy := l.waiting[from]
	if !busy {
		l.waiting[from] = nil
		return nil
	}
	if len(waiting) >= l.most {
		waiting[0] <- false
		waiting = waiting[1:]
	}
	t := make(turn, 1)
	l.waiting[from] = append(waiting, t)
	return t
}

// give takes back a login that waits no more; false when it has been told already.
func (l *lanes) give(from netip.Addr, t turn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting[from], t)
	if i < 0 {
		return false
	}
	l.waiting[from] = slices.Delete(l.waiting[from], i, i+1)
	return true
}

// next ends a turn and begins that of the newest who waits.
func (l *lanes) next(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.waiting[from]
	if len(waiting) == 0 {
		delete(l.waiting, from)
		return
	}
	last := len(waiting) - 1
	waiting[last] <- true
	l.waiting[from] = waiting[:last]
}
