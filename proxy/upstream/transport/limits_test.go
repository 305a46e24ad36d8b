package transport

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

// Whoever would wait too long for a turn hears so at once.
func TestRateQueueIsBounded(t *testing.T) {
	t.Parallel()
	l := newLimits(Config{Rate: 1, MaxWait: 3 * time.Second},
		Options{Now: newClock().now, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	for i := range 4 {
		if err := l.turn(t.Context(), false); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	for range 3 {
		if e := asError(t, l.turn(t.Context(), false)); e.Kind != upstream.RateLimited || e.RetryAfter != 4*time.Second ||
			!errors.Is(e, upstream.ErrHeld) {
			t.Errorf("got %+v", e)
		}
	}
}
