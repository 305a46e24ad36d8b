package jobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

// ErrDied marks an image of which processes died: it took more of the machine than there is, perhaps. It is not tried
// again soon.
var ErrDied = errors.New("the process ended while it was at this image")

const (
	// maxDeaths is how many processes may end at an image in a row before it counts as failed. One may be a power cut.
	maxDeaths = 2
	// deathPause is how long an image counts as failed then. One try more follows.
	deathPause = 6 * time.Hour
	// recordTimeout bounds how long the end of an attempt takes that is not recorded: a process that is to end does not
	// wait for more.
	recordTimeout = 5 * time.Second
)

// Attempts keep which jobs have begun and not ended, by a name of the job. catalog.Table implements it.
type Attempts interface {
	Get(ctx context.Context, key string) (*catalog.Attempt, error)
	Put(ctx context.Context, key string, a *catalog.Attempt) error
	Delete(ctx context.Context, key string) error
}

// newReplica names a process: no other has the name.
func newReplica() string { return rand.Text() }

// recorded does something that an image may kill the process with. That it begins is stored before, and removed when it
// has ended, however it has: a record that is found is of a process that died, since the caller has the job's lease.
func (q *Queue) recorded(ctx context.Context, j *job, do func() error) error {
	key := digest.FromString(j.key).Encoded()
	before, err := q.Attempts.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("looking for earlier attempts: %w", err)
	}
	now := q.Now()
	a := catalog.Attempt{
		Source: j.digest, Repository: j.repo.String(), StartedAt: now.UTC(), Replica: q.replica, Process: os.Getpid(),
		Tries: 1,
	}
	if before != nil && before.Replica != q.replica {
		if since := now.Sub(before.StartedAt).Abs(); before.Tries >= maxDeaths && since < deathPause {
			return fmt.Errorf("%w, in %d tries, the last of which began at %s", ErrDied, before.Tries,
				before.StartedAt.Format(time.RFC3339))
		}
		a.Tries = before.Tries + 1
		q.Logger.WarnContext(ctx, "a process ended while it was at this image, which is tried again", "job", j.id,
			"repository", j.repo.String(), "source", j.digest.String(), "try", a.Tries)
	}
	if err := q.Attempts.Put(ctx, key, &a); err != nil {
		return fmt.Errorf("recording the attempt: %w", err)
	}
	defer q.forget(ctx, key)
	return do()
}

// forget removes the record of an attempt that has ended, unless another process has made it its own since.
func (q *Queue) forget(ctx context.Context, key string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer stop()
	a, err := q.Attempts.Get(ctx, key)
	if err == nil && a != nil && a.Replica == q.replica {
		err = q.Attempts.Delete(ctx, key)
	}
	if err != nil {
		q.Logger.WarnContext(ctx, "the record of an attempt could not be removed", "error", err)
	}
}
