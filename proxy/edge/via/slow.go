package via

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

const (
	// leastPatience is for how long the bytes of a delta may be waited for in any case, besides the time that its layer
	// takes.
	leastPatience = 30 * time.Second
	// strangersRate is what a link is held to that brought nothing yet, in bytes per second, and poorRate what every link is
	// where bytes count for more than time.
	strangersRate, poorRate = 256 << 10, 64 << 10
	// firstPause is how long a central is not asked for deltas after one was too slow; it doubles up to longestPause.
	firstPause, longestPause = time.Minute, 16 * time.Minute
)

// errSlow says that a delta takes longer than its layer would.
var errSlow = errors.New("the delta came too slowly")

// bounded is the body of a delta that gives up when it was waited for longer than it is worth. What its reader takes does
// not count.
type bounded struct {
	io.ReadCloser
	now     func() time.Time
	allowed time.Duration
	waited  time.Duration
	bytes   int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.waited > b.allowed {
		return 0, fmt.Errorf("%w: %d bytes in %s", errSlow, b.bytes, b.waited.Round(time.Second))
	}
	began := b.now()
	n, err := b.ReadCloser.Read(p)
	b.waited += b.now().Sub(began)
	b.bytes += int64(n)
	return n, err
}

// allowed is how long the bytes of a layer's delta are waited for: twice as long as the layer itself takes, and what it was
// to be waited for anyway. Who has the layer by then has it sooner without.
func (s *Source) allowed(l layer, way *link) time.Duration {
	settings := s.Settings()
	rate, known := way.bytesPerSecond()
	switch {
	case settings.FewestBytes:
		rate = poorRate
	case !known:
		rate = strangersRate
	}
	return max(settings.Wait, leastPatience) + time.Duration(2*float64(l.size)/rate*float64(time.Second))
}

// errLate says that a layer is not made of a delta in the time in which it would have come as it is.
var errLate = errors.New("the layer was made too slowly")

// waits bound how long a layer's reader waits, in all, for what is made: for the delta's bytes, a seed's files, and
// encoders. What the reader takes itself does not count. They are for one goroutine.
type waits struct {
	now  func() time.Time
	left time.Duration
	end  func() // ends the work that is waited for
	over atomic.Bool
}

// during waits, and gives an error that it ended the reason.
func (w *waits) during(wait func() error) error {
	began := w.now()
	timer := time.AfterFunc(max(w.left, 0), func() {
		w.over.Store(true)
		w.end()
	})
	err := wait()
	timer.Stop()
	w.left -= w.now().Sub(began)
	if err != nil && err != io.EOF && w.over.Load() {
		err = errors.Join(errLate, err)
	}
	return err
}

// temper is how a central was of late: whether it is worth asking for deltas. One layer that waited in vain spares the
// others that. It is safe for concurrent use.
type temper struct {
	mu     sync.Mutex
	pause  time.Duration // the latest; 0 while all is well
	until  time.Time     // it is not asked
	tried  bool          // one layer finds out whether it is better
	soured chan struct{} // closed when it gets bad, for those that wait for their turn

	vain   int       // how many deltas in a row it did not make while they were waited for
	vainAt time.Time // when the last of them was given up
}

// patience is for how long one more delta that is being made is waited for: half as long after each that was waited for in
// vain, so that all of them together cost less than twice the wait, however many layers an update has. One that comes
// gives all of it back, as does time.
func (t *temper) patience(now time.Time, wait time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.vainAt) >= longestPause {
		t.vain = 0
	}
	return wait >> min(t.vain, 62)
}

// inVain notes that a delta was waited for from a moment on, and was not made by now. Those that were waited for at the
// same time cost nobody more than one.
func (t *temper) inVain(from, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !from.Before(t.vainAt) {
		t.vain, t.vainAt = t.vain+1, now
	}
}

// came notes that there was a delta.
func (t *temper) came() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.vain, t.vainAt = 0, time.Time{}
}

// enter asks whether a layer may be asked for as a delta. Whoever may tells, once, whether it was too slow; what says
// nothing of that is nil.
func (t *temper) enter(now time.Time) (tell func(now time.Time, slow *bool), soured <-chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.soured == nil {
		t.soured = make(chan struct{})
	}
	trial := t.pause > 0
	if trial && (t.tried || now.Before(t.until)) {
		return nil, nil, false
	}
	t.tried = trial
	var once sync.Once
	return func(now time.Time, slow *bool) { once.Do(func() { t.told(now, slow, trial) }) }, t.soured, true
}

func (t *temper) told(now time.Time, slow *bool, trial bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if trial {
		t.tried = false
	}
	switch {
	case slow == nil:
	case !*slow:
		if trial || t.pause == 0 { // what began before says nothing of now
			t.pause = 0
		}
	case trial || t.pause == 0:
		t.pause = min(max(2*t.pause, firstPause), longestPause)
		t.until = now.Add(t.pause)
		close(t.soured)
		t.soured = make(chan struct{})
	}
}

// restsUntil returns when a central that is not asked is tried again; zero for one that is asked.
func (t *temper) restsUntil() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pause == 0 {
		return time.Time{}
	}
	return t.until
}

// tooSlow reports whether an error of asking a central, or of reading its delta, says that it lets us wait.
func tooSlow(err error) bool {
	return errors.Is(err, errSlow) || errors.Is(err, errSilent) || errors.Is(err, upstream.ErrStalled) ||
		upstream.Classify(err) == upstream.Timeout
}
