package upstream

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxBackoff    = 5 * time.Second
	epochs        = 1_000_000_000        // seconds since 1970 have been more than this since 2001
	maxRetryAfter = 365 * 24 * time.Hour // a later date is taken for this one
)

// retry calls try until it succeeds, fails for good or has used up the host's attempts.
func (s *session) retry(ctx context.Context, op string, try func(context.Context) error) error {
	began := s.client.now()
	for attempt := 1; ; attempt++ {
		err := try(ctx)
		if err == nil {
			return nil
		}
		err = s.fail(ctx, op, err)
		var e *Error
		if !errors.As(err, &e) {
			return err
		}
		s.client.observer.Error(e.Host, e.Kind)
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
		s.client.log.LogAttrs(ctx, slog.LevelInfo, "upstream request failed, trying again", slog.String("error", e.Error()),
			slog.Int("attempt", attempt), slog.Duration("wait", wait))
		if err := s.client.sleep(ctx, wait); err != nil {
			return s.fail(ctx, op, err)
		}
	}
}

// hopeless reports whether another attempt would only keep a caller waiting: behind an open breaker, or when a slow upstream has had
// its time twice over.
func (s *session) hopeless(e *Error, began time.Time) bool {
	return e.Kind == Unavailable && errors.Is(e, ErrHeld) || s.client.now().Sub(began) >= 2*s.host.timeout
}

// worthWaiting reports whether a wait is short enough for someone who waits for an answer, and ends before the context does.
func (s *session) worthWaiting(ctx context.Context, wait time.Duration) bool {
	if wait > max(s.host.maxWait, maxBackoff) {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || s.client.now().Add(wait).Before(deadline)
}

// backoff returns how long to wait after a number of failed attempts: base, doubled each time, at most maxBackoff, of which a
// random part up to one half is taken off so that many clients do not return together.
func backoff(base time.Duration, attempt int) time.Duration {
	d := base
	for i := 1; i < attempt && d < maxBackoff; i++ {
		d *= 2
	}
	d = min(d, maxBackoff)
	return d - rand.N(d/2+1)
}

// parseRetryAfter reads a Retry-After header, which holds seconds or an HTTP date (RFC 9110, section 10.2.3). The result is 0
// when there is nothing to wait for.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		if seconds > epochs && seconds < 10*epochs { // a point in time, as Docker Hub writes it
			return min(max(time.Unix(int64(seconds), 0).Sub(now), 0), maxRetryAfter)
		}
		if seconds > uint64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	if isDigits(value) {
		return maxRetryAfter
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// sleepContext waits for d or for the end of the context, whichever comes first, and returns the context's error in that case.
func sleepContext(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
