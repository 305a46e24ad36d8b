package upkeep

import (
	"context"
	"io"
	"time"
)

// pace bounds how fast bytes are read. It is for one goroutine.
type pace struct {
	rate  int64 // bytes a second; 0 for no bound
	start time.Time
	read  int64 // since start
}

// burst is how many bytes are read at once, in seconds of the rate.
const burst = 0.1

func newPace(rate int64) *pace { return &pace{rate: rate} }

// wait returns when n bytes more may have been read.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	if p.start.IsZero() {
		p.start = time.Now()
	}
	p.read += int64(n)
	ahead := time.Duration(float64(p.read)/float64(p.rate)*float64(time.Second)) - time.Since(p.start)
	if ahead < time.Duration(burst*float64(time.Second)) {
		if ahead < -time.Second { // time that was not used is not made up for
			p.start, p.read = time.Now(), 0
		}
		return ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type pacedReader struct {
	ctx  context.Context //nolint:containedctx // of the one call that reads
	r    io.Reader
	pace *pace
}

func (r *pacedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if waitErr := r.pace.wait(r.ctx, n); waitErr != nil {
		return n, waitErr
	}
	return n, err
}
