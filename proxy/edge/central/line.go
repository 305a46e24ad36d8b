package central

import (
	"context"
	"errors"
	"sync"
)

// errFull says that enough deltas wait.
var errFull = errors.New("too many deltas wait for being made")

// line is where deltas wait for processors: those that somebody asked for before those that are made ahead, else in the
// order in which they came. It is safe for concurrent use.
type line struct {
	cpus, most int

	mu      sync.Mutex
	free    int
	running int
	asked   []*place
	ahead   []*place
}

// place is one in the line.
type place struct {
	turn chan int // gets the number of processors, once
}

func newLine(cpus, most int) *line { return &line{cpus: cpus, most: most, free: cpus} }

// waiting is how many wait and how many are at work.
func (l *line) waiting() (waiting, running int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked) + len(l.ahead), l.running
}

// room reports whether one more may wait. What is made ahead leaves half of the line to those who ask.
func (l *line) room(ahead bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.asked) + len(l.ahead)
	if ahead {
		return n < l.most/2
	}
	return n < l.most
}

// enter waits for processors and returns how many there are, at least one, and what gives them back. hurry, when it is
// closed, makes what waits among those that are made ahead one that was asked for.
func (l *line) enter(ctx context.Context, ahead bool, hurry <-chan struct{}) (cpus int, leave func(), err error) {
	p := &place{turn: make(chan int, 1)}
	l.mu.Lock()
	if len(l.asked)+len(l.ahead) >= l.most {
		l.mu.Unlock()
		return 0, nil, errFull
	}
	if ahead {
		l.ahead = append(l.ahead, p)
	} else {
		l.asked = append(l.asked, p)
		hurry = nil
	}
	l.next()
	l.mu.Unlock()
	for {
		select {
		case cpus = <-p.turn:
			return cpus, sync.OnceFunc(func() { l.leave(cpus) }), nil
		case <-hurry:
			hurry = nil
			l.promote(p)
		case <-ctx.Done():
			return 0, nil, l.abandon(ctx, p)
		}
	}
}

// promote moves a place to those who asked.
func (l *line) promote(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.ahead); n > 0 {
		if l.ahead = without(l.ahead, p); len(l.ahead) < n {
			l.asked = append(l.asked, p)
		}
	}
}

// abandon takes a place out of the line, or gives back what it just got.
func (l *line) abandon(ctx context.Context, p *place) error {
	l.mu.Lock()
	l.asked, l.ahead = without(l.asked, p), without(l.ahead, p)
	l.mu.Unlock()
	select {
	case cpus := <-p.turn:
		l.leave(cpus)
	default:
	}
	return context.Cause(ctx)
}

func without(all []*place, p *place) []*place {
	for i, o := range all {
		if o == p {
			return append(all[:i:i], all[i+1:]...)
		}
	}
	return all
}

func (l *line) leave(cpus int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free += cpus
	l.running--
	l.next()
}

// next gives turns while there are processors: each its share of what is free among all that wait. The caller holds l.mu.
func (l *line) next() {
	for l.free > 0 && len(l.asked)+len(l.ahead) > 0 {
		share := max(l.free/(len(l.asked)+len(l.ahead)), 1)
		from := &l.asked
		if len(l.asked) == 0 {
			from = &l.ahead
		}
		p := (*from)[0]
		*from = (*from)[1:]
		l.free -= share
		l.running++
		p.turn <- share
	}
}
