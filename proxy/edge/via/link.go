package via

import (
	"io"
	"sync"
	"time"

	"github.com/strata-oci/strata/rechunk/delta"
)

const (
	// leastSample is how many bytes say anything of a link, besides its latency.
	leastSample = 256 << 10
	// share is what of a link's rate a new sample makes up.
	share = 0.3
	// likelyRate is what a link is taken for that brought nothing yet, in bytes per second.
	likelyRate = 8 << 20
)

// link is the way to a central, by what came over it. It is safe for concurrent use.
type link struct {
	mu      sync.Mutex
	rate    float64 // bytes per second, smoothed; 0 while unknown
	streams int     // that are open now: they share the link
}

// sample notes that bytes came in some time, of which the reader waited for the link so long. Where it mostly did not, they
// came at the reader's pace, and the link is at least as fast.
func (l *link) sample(n int64, took, waited time.Duration, streams int) {
	if n < leastSample || took <= 0 {
		return
	}
	rate := float64(n) / took.Seconds() * float64(max(streams, 1))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case waited < took/2:
		l.rate = max(l.rate, rate)
	case l.rate == 0:
		l.rate = rate
	default:
		l.rate += share * (rate - l.rate)
	}
}

// bytesPerSecond is what the link brings; known is false before anything came.
func (l *link) bytesPerSecond() (rate float64, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 {
		return likelyRate, false
	}
	return l.rate, true
}

func (l *link) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams++
	return l.streams
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams--
}

// worth is how many bytes a second of an encoder's work has to save here: as many as come in the time that it takes, when so
// many encoders run at once as may.
func (s *Source) worth(l *link) int64 {
	if s.Encoders == nil || s.Settings().FewestBytes {
		return 0
	}
	rate, _ := l.bytesPerSecond()
	return delta.WorthClass(int64(rate * s.Encoders.Pace() / float64(s.Parallel)))
}

// measured is a body that tells its link how fast it came. As with the body of an HTTP response, Close may be called while
// another goroutine reads.
type measured struct {
	io.ReadCloser
	link *link
	now  func() time.Time

	mu      sync.Mutex // not held while the body is read
	first   time.Time
	waited  time.Duration
	bytes   int64
	streams int
	closed  bool
}

// Read implements io.Reader.
func (m *measured) Read(p []byte) (int, error) {
	began := m.now()
	m.mu.Lock()
	if m.first.IsZero() && !m.closed {
		m.first, m.streams = began, m.link.open()
	}
	m.mu.Unlock()
	n, err := m.ReadCloser.Read(p)
	waited := m.now().Sub(began)
	m.mu.Lock()
	m.waited += waited
	m.bytes += int64(n)
	m.mu.Unlock()
	return n, err
}

// Close implements io.Closer. A read that it ends counts for nothing.
func (m *measured) Close() error {
	m.mu.Lock()
	if !m.closed && !m.first.IsZero() {
		m.link.sample(m.bytes, m.now().Sub(m.first), m.waited, m.streams)
		m.link.close()
	}
	m.closed = true
	m.mu.Unlock()
	return m.ReadCloser.Close()
}
