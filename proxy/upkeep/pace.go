package upkeep

import (
	"context"
	"io"
	"time"
)

// pace bounds how fast bytes are read. It is for one goroutine.
type pace struct {
	limit func() int64 // bytes a second; 0 for no bound. It may change
	rate  int64        // the limit since start
	start time.Time
	read  int64 // since start
}

// burst is how many bytes are read at once, in seconds of the rate.
const burst = 0.1

func newPace(limit func() int64) *pace { return &pace{limit: limit} }

// wait returns when n bytes more may have been read.
func (p *pace) wait(ctx context.Context, n int) error {
	if rate := p.limit(); rate != p.rate {
		p.rate, p.start, p.read = rate, time.Now(), 0
	}
	if p.rate <= 0 {
		return ctx.Err()
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
	r    io.Reader
	wait func(n int) error
}

func (r *pacedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if waitErr := r.wait(n); waitErr != nil {
		return n, waitErr
	}
	return n, err
}
