package client

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

const maxBackoff = 5 * time.Second

// retry calls try until it succeeds, fails for good or has used up the host's attempts.
func (s *session) retry(ctx context.Context, op string, try func(context.Context) error) error {
	began := s.client.options.Now()
	for attempt := 1; ; attempt++ {
		err := try(ctx)
		if err == nil {
			return nil
		}
		err = s.fail(ctx, op, err)
		var e *upstream.Error
		if !errors.As(err, &e) {
			return err
		}
		s.client.options.Observer.Error(e.Host, e.Kind)
		if !e.Transient() || attempt >= s.host.attempts || s.hopeless(e, began) {
			return err
		}
		wait := backoff(s.host.backoff, attempt)
		if e.RetryAfter > 0 {
			wait = e.RetryAfter
		}
		if !s.worthWaiting(ctx, wait) {
			return err
		}
		s.client.options.Logger.LogAttrs(ctx, slog.LevelInfo, "upstream request failed, trying again",
			slog.String("error", e.Error()), slog.Int("attempt", attempt), slog.Duration("wait", wait))
		if err := s.client.options.Sleep(ctx, wait); err != nil {
			return s.fail(ctx, op, err)
		}
	}
}

// retried is retry as something to call later.
func (s *session) retried(op string, try func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return s.retry(ctx, op, try) }
}

// hopeless reports whether another attempt would only keep a caller waiting: behind an open breaker, or when a slow
// upstream has had its time twice over. A loop stays one until somebody ends it.
func (s *session) hopeless(e *upstream.Error, began time.Time) bool {
	held := e.Kind == upstream.Unavailable && errors.Is(e, upstream.ErrHeld)
	return held || e.Status == http.StatusLoopDetected || s.host.GivenUp() ||
		s.client.options.Now().Sub(began) >= 2*s.host.Timeout()
}

// worthWaiting reports whether a wait is short enough for someone who waits for an answer, and ends before the context does.
func (s *session) worthWaiting(ctx context.Context, wait time.Duration) bool {
	if wait > max(s.host.maxWait, maxBackoff) {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || s.client.options.Now().Add(wait).Before(deadline)
}

// backoff returns how long to wait after a number of failed attempts: base, doubled each time, at most maxBackoff, of
// which a random part up to one half is taken off so that many clients do not return together.
func backoff(base time.Duration, attempt int) time.Duration {
	d := base
	for i := 1; i < attempt && d < maxBackoff; i++ {
		d *= 2
	}
	d = min(d, maxBackoff)
	return d - rand.N(d/2+1)
}
