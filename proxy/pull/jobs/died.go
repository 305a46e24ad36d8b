package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
)

// ErrDied says that the process ended while it was at an image, as it does when the system kills it for want of memory.
var ErrDied = errors.New("the proxy died of this image")

// An image that the process died of is tried again, ever later.
const (
	firstRetry = 10 * time.Minute
	lastRetry  = 24 * time.Hour
)

// attemptKey names the record of a job.
func attemptKey(j *job) string {
	sum := sha256.Sum256([]byte(j.key))
	return hex.EncodeToString(sum[:])
}

// noted does a job's work with a record that says so, which only the death of the process leaves behind. Who finds one of a process before
// this takes it for a failure, until it is time for another try. A store that gives or takes no records keeps nobody from working.
func (q *Queue) noted(ctx context.Context, j *job, work func() error) error {
	key := attemptKey(j)
	before, err := q.Attempts.Get(ctx, key)
	if err != nil {
		q.Logger.WarnContext(ctx, "earlier attempts could not be read", "job", j.id, "error", err)
	}
	now := catalog.Attempt{
		Source: j.digest, Repository: j.repo.String(), StartedAt: q.Now().UTC(), Replica: q.replica, Process: os.Getpid(), Tries: 1,
	}
	// What began after this process did is another replica's, which is alive.
	if before != nil && before.Replica != q.replica && before.StartedAt.Before(q.started) {
		again := before.StartedAt.Add(min(firstRetry<<min(max(before.Tries-1, 0), 10), lastRetry))
		if q.Now().Before(again) {
			return fmt.Errorf("%w at %s; it is tried again after %s", ErrDied, before.StartedAt.Format(time.RFC3339), again.Format(time.RFC3339))
		}
		now.Tries = before.Tries + 1
	}
	if err := q.Attempts.Put(ctx, key, &now); err != nil {
		q.Logger.WarnContext(ctx, "attempt could not be noted", "job", j.id, "error", err)
	}
	defer func() {
		if err := q.Attempts.Delete(context.WithoutCancel(ctx), key); err != nil {
			q.Logger.WarnContext(ctx, "the end of an attempt could not be noted", "job", j.id, "error", err)
		}
	}()
	return work()
}
