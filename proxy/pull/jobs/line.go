package jobs

import (
	"context"
	"slices"
	"sync"
)

// line hands out a bounded number of places: to the hosts that wait in turn, and to those who wait for one host in
// their order. So the many images of one upstream do not keep the image of another from the next place. It is safe for
// concurrent use.
type line struct {
	places  int // in all
	perHost int // of one host; 0 for as many as there are

	mu      sync.Mutex
	used    int
	taken   map[string]int             // places, by host
	waiting map[string][]chan struct{} // by host; closed for who is let in
	turn    []string                   // the hosts for which somebody waits, the next one first
}

func newLine(places, perHost int) *line {
	return &line{places: places, perHost: perHost, taken: map[string]int{}, waiting: map[string][]chan struct{}{}}
}

// enter waits for a place until ctx ends. Who got one gives it back with leave.
func (l *line) enter(ctx context.Context, host string) (leave func(), err error) {
	here := make(chan struct{})
	l.mu.Lock()
	if len(l.waiting[host]) == 0 {
		l.turn = append(l.turn, host)
	}
	l.waiting[host] = append(l.waiting[host], here)
	l.admit()
	l.mu.Unlock()
	select {
	case <-here:
		return sync.OnceFunc(func() { l.leave(host) }), nil
	case <-ctx.Done():
		l.giveUp(host, here)
		return nil, context.Cause(ctx)
	}
}

// crowded reports whether somebody waits.
func (l *line) crowded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.turn) > 0
}

// admit lets in all for whom there is a place. The caller holds l.mu.
func (l *line) admit() {
	for i := 0; i < len(l.turn) && l.used < l.places; {
		host := l.turn[i]
		if l.perHost > 0 && l.taken[host] >= l.perHost {
			i++
			continue
		}
		l.used++
		l.taken[host]++
		close(l.waiting[host][0])
		l.turn = slices.Delete(l.turn, i, i+1)
		if l.waiting[host] = l.waiting[host][1:]; len(l.waiting[host]) > 0 {
			l.turn = append(l.turn, host)
		} else {
			delete(l.waiting, host)
		}
	}
}

func (l *line) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used--
	if l.taken[host]--; l.taken[host] == 0 {
		delete(l.taken, host)
	}
	if i := slices.Index(l.turn, host); i >= 0 { // it has had its turn
		l.turn = append(slices.Delete(l.turn, i, i+1), host)
	}
	l.admit()
}

// giveUp takes somebody out of the line, or off the place that was given meanwhile.
func (l *line) giveUp(host string, here chan struct{}) {
	l.mu.Lock()
	i := slices.Index(l.waiting[host], here)
	if i < 0 {
		l.mu.Unlock()
		l.leave(host)
		return
	}
	defer l.mu.Unlock()
	if l.waiting[host] = slices.Delete(l.waiting[host], i, i+1); len(l.waiting[host]) == 0 {
		delete(l.waiting, host)
		l.turn = slices.DeleteFunc(l.turn, func(h string) bool { return h == host })
	}
}
