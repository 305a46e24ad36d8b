package chunkstore

import (
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// reachFailures is after how many calls in a row that found no backend the next ones are not made.
	reachFailures = 2
	// reachPause is how long they are not; then one call tries.
	reachPause = 2 * time.Second
)

// unreachable is the error of a call that the backend did not answer.
type unreachable struct{ cause error }

// Error says why; the operation and ErrUnreachable go before it.
func (u *unreachable) Error() string { return u.cause.Error() }

// Unwrap makes the kind visible to errors.Is.
func (u *unreachable) Unwrap() []error { return []error{ErrUnreachable, u.cause} }

// isUnreachable matches errors that say that there is no backend, or none that can do anything. A backend that slows callers
// down counts, too: to leave it alone for a moment is what it asks for.
func isUnreachable(err error) bool {
	if err == ErrUnreachable {
		return true
	}
	if no, ok := err.(syscall.Errno); ok {
		gone := []syscall.Errno{
			syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
			syscall.ENETDOWN,
		}
		return slices.Contains(gone, no)
	}
	if _, ok := err.(net.Error); ok {
		return true
	}
	if e, ok := err.(interface{ StatusCode() int }); ok && e.StatusCode() >= http.StatusInternalServerError {
		return passingStatus(e.StatusCode())
	}
	e, ok := err.(interface{ Code() string })
	// AWS's library could not send it, or there is nothing to ask.
	return ok && (e.Code() == "RequestError" || e.Code() == "NoSuchBucket")
}

// reach knows whether the backend answers. While it does not, calls fail at once, so that nobody waits and nothing piles up,
// but for one now and then that finds out. It is safe for concurrent use.
type reach struct {
	log *slog.Logger

	mu       sync.Mutex
	failures int   // in a row
	last     error // the latest of them
	down     bool
	since    time.Time // down
	until    time.Time // calls fail, while down
	probing  bool      // a call is finding out
}

// admit returns nil when a call may be made. Its outcome goes to one of the methods below.
func (r *reach) admit() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.down {
		return nil
	}
	if r.probing || time.Now().Before(r.until) {
		return r.last
	}
	r.probing = true
	return nil
}

// answered notes that the backend gave an answer, of whatever kind.
func (r *reach) answered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures, r.probing = 0, false
	if r.down {
		r.down = false
		r.log.Info("storage answers again", "seconds", time.Since(r.since).Seconds())
	}
}

// failed notes that it gave none.
func (r *reach) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures++
	r.last, r.probing = err, false
	if r.failures < reachFailures {
		return
	}
	now := time.Now()
	r.until = now.Add(reachPause)
	if !r.down {
		r.down, r.since = true, now
		r.log.Error("storage cannot be reached; until it answers, what is in memory is served", "error", err)
	}
}

// abandoned notes that the caller did not wait for the answer.
func (r *reach) abandoned() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probing = false
}

// passingStatus reports whether an HTTP status says that the backend is not well, rather than that the request is wrong.
func passingStatus(code int) bool {
	return code == http.StatusRequestTimeout || code == http.StatusTooManyRequests ||
		code >= 500 && code != http.StatusNotImplemented && code != http.StatusInsufficientStorage
}
