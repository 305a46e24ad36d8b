package transport

import (
	"context"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/strata-oci/strata/proxy/upstream"
)

// limits are what an upstream may be asked for. They count all servers that it leads to. Zero values and nil are no limit.
type limits struct {
	options   Options
	maxWait   time.Duration
	requests  *rate.Limiter
	bytes     *rate.Limiter
	running   chan struct{} // a token for each request, from its beginning to the end of its body
	downloads chan struct{} // a token for each blob
}

func newLimits(c Config, o Options) *limits {
	l := &limits{options: o, maxWait: c.MaxWait}
	if c.Rate > 0 {
		l.requests = rate.NewLimiter(rate.Limit(c.Rate), max(1, int(math.Ceil(c.Rate))))
	}
	if c.Bandwidth > 0 {
		l.bytes = rate.NewLimiter(rate.Limit(c.Bandwidth), int(min(c.Bandwidth, burst)))
	}
	if c.MaxConnections > 0 {
		l.running = make(chan struct{}, c.MaxConnections)
	}
	if c.MaxDownloads > 0 {
		l.downloads = make(chan struct{}, c.MaxDownloads)
	}
	return l
}

// burst is how many bytes may come at once below a bandwidth cap: what a download reads at a time.
const burst = 128 << 10

// turn waits until the rate allows one more request. A wait that nobody should have to sit out is an error at once.
func (l *limits) turn(ctx context.Context) error {
	if l.requests == nil {
		return ctx.Err()
	}
	now := l.options.Now()
	r := l.requests.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > l.maxWait {
		r.CancelAt(now)
		return &upstream.Error{Kind: upstream.RateLimited, RetryAfter: wait, Err: fmt.Errorf("%w: the configured rate is used up", upstream.ErrHeld)}
	}
	if wait <= 0 {
		return ctx.Err()
	}
	return l.options.Sleep(ctx, wait)
}

// acquire waits for a token of slots, which may be nil, and returns what gives it back. That may be called more than once.
func acquire(ctx context.Context, slots chan struct{}) (release func(), err error) {
	if slots == nil {
		return func() {}, nil
	}
	select {
	case slots <- struct{}{}:
		return sync.OnceFunc(func() { <-slots }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take waits until n bytes that came are within the bandwidth.
func (l *limits) take(ctx context.Context, n int) error {
	if l.bytes == nil || n == 0 {
		return nil
	}
	now := l.options.Now()
	if wait := l.bytes.ReserveN(now, n).DelayFrom(now); wait > 0 {
		return l.options.Sleep(ctx, wait)
	}
	return nil
}

// chunk shortens a buffer to what the bandwidth gives at once.
func (l *limits) chunk(p []byte) []byte {
	if l.bytes == nil {
		return p
	}
	return p[:min(len(p), l.bytes.Burst())]
}

// releasing is a body that gives a token back when it is closed.
type releasing struct {
	io.ReadCloser
	release func()
}

func (r releasing) Close() error {
	defer r.release()
	return r.ReadCloser.Close()
}
