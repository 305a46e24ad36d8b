package transport

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/strata-oci/strata/proxy/upstream"
)

// limits are what an upstream may be asked for. They count all servers that it leads to. Requests for what nobody knows
// get a part of each only, so that they cannot hold up those for what is known.
type limits struct {
	options  Options
	maxWait  time.Duration
	requests *rate.Limiter // nil: no bound
	bytes    *rate.Limiter // nil: no bound
	// A token for each request, from its beginning to the end of its body; for each of those that ask for what nobody knows,
	// downloads aside, until its answer's header is there; and for each blob.
	running, unknown, downloads chan struct{}
}

// newLimits returns the limits that a configuration, with its defaults filled in, names.
func newLimits(c Config, o Options) *limits {
	l := &limits{
		options: o, maxWait: c.MaxWait,
		running:   make(chan struct{}, c.MaxConnections),
		unknown:   make(chan struct{}, max(c.MaxConnections-c.MaxDownloads-1, 1)),
		downloads: make(chan struct{}, c.MaxDownloads),
	}
	if c.Rate > 0 {
		l.requests = rate.NewLimiter(rate.Limit(c.Rate), max(1, int(math.Ceil(c.Rate))))
	}
	if c.Bandwidth > 0 {
		l.bytes = rate.NewLimiter(rate.Limit(c.Bandwidth), int(min(c.Bandwidth, burst)))
	}
	return l
}

// mostOf is three quarters of n connections, and at least one.
func mostOf(n int) int { return max(n*3/4, 1) }

// burst is how many bytes may come at once below a bandwidth cap: what a download reads at a time.
const burst = 128 << 10

// turn waits until the rate allows one more request. A wait that nobody should have to sit out is an error at once; the
// second half of the line is for what is known.
func (l *limits) turn(ctx context.Context, unknown bool) error {
	if l.requests == nil {
		return ctx.Err()
	}
	longest := l.maxWait
	if unknown {
		longest /= 2
	}
	now := l.options.Now()
	r := l.requests.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > longest {
		r.CancelAt(now)
		return &upstream.Error{
			Kind: upstream.RateLimited, RetryAfter: wait,
			Err: fmt.Errorf("%w: the configured rate is used up", upstream.ErrHeld),
		}
	}
	if wait <= 0 {
		return ctx.Err()
	}
	return l.options.Sleep(ctx, wait)
}

// enter waits for a connection. answered is to be called when the answer's header is there, release at the end of its
// body or when there is none. Both may be called more than once.
func (l *limits) enter(ctx context.Context, unknown bool) (answered, release func(), err error) {
	answered = func() {}
	if unknown {
		if answered, err = acquire(ctx, l.unknown); err != nil {
			return nil, nil, err
		}
	}
	free, err := acquire(ctx, l.running)
	if err != nil {
		answered()
		return nil, nil, err
	}
	return answered, free, nil
}

// acquire waits for a token of slots and returns what gives it back. That may be called more than once.
func acquire(ctx context.Context, slots chan struct{}) (release func(), err error) {
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
