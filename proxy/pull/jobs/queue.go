// Package jobs has images rechunked: each source image once however many ask, a bounded number at a time. A job belongs
// to no client.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/plan"
)

// Engine makes images.
type Engine interface {
	Rechunk(ctx context.Context, req rechunk.Request) (*rechunk.Result, error)
	// Adopt lets a lineage begin with an image that was made elsewhere.
	Adopt(ctx context.Context, req rechunk.Request) (bool, error)
}

// Manifests have the manifests of source images, and keep those of images that were made.
type Manifests interface {
	Get(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
	// Bytes returns a stored manifest.
	Bytes(ctx context.Context, d digest.Digest) ([]byte, error)
	// Made notes what an image that the engine stored was made of.
	Made(ctx context.Context, repo name.Repository, made image.Document, source digest.Digest) error
	// Store keeps an index with what is to be known of it.
	Store(ctx context.Context, repo name.Repository, d digest.Digest, b []byte, rec catalog.Manifest) error
}

// Blobs have the blobs of source images.
type Blobs interface {
	Source(repo name.Repository) rechunk.Source
	// Prove sees that a repository has all blobs of an image that is to be rechunked, where that makes a difference.
	Prove(ctx context.Context, repo name.Repository, m *registry.Manifest, always bool) error
	// Stored reports whether a repository's blob is in the store.
	Stored(ctx context.Context, repo name.Repository, d digest.Digest) bool
	// Keep sees that a blob is stored. size is what a manifest says.
	Keep(ctx context.Context, repo name.Repository, d digest.Digest, size int64) error
	// DropDamaged puts the stored blobs of an image aside that are damaged, and reports whether there were any.
	DropDamaged(ctx context.Context, manifest []byte) bool
}

// Indexes are those of source layers: one that has an index is not read to plan an image.
type Indexes interface {
	Get(ctx context.Context, layer digest.Digest) (*rechunk.IndexRecord, error)
}

// Demand tells what the clients of a family ask for.
type Demand interface {
	Demand(ctx context.Context, family string) (plan.Demand, error)
}

// Metrics count jobs.
type Metrics interface {
	JobStarted() (ended func(metrics.JobResult))
	Update(newBytes, sourceBytes int64)
}

// Signer signs what is made.
type Signer interface {
	// Sign signs a manifest that was made of a source, where that is to be signed.
	Sign(ctx context.Context, repo name.Repository, made image.Document, source digest.Digest) error
}

// Options are what a Queue is made of; all are needed but for Leases, Signer and Published.
type Options struct {
	Engine    Engine
	Manifests Manifests
	Blobs     Blobs
	Indexes   Indexes
	Attempts  Attempts
	Demand    Demand
	Signer    Signer
	Metrics   Metrics
	Work      *background.Group
	// Leases keep other replicas from the same job; nil says that there are none.
	Leases *lease.Leases
	// Published is told of an image that was made just now and can be asked for; nil: nobody is. It does not wait.
	Published func(repo name.Repository, manifest digest.Digest)
	// AtOnce is how many images are rechunked at once, at least one.
	AtOnce int
	// Deadline bounds how long an image's blobs may be on their way while its job has no place.
	Deadline rechunk.Deadline
	// WorkDir is the engine's; it is made again when somebody removed it.
	WorkDir string
	Logger  *slog.Logger
	Now     func() time.Time
}

// Queue runs jobs. It is safe for concurrent use.
type Queue struct {
	Options
	replica string // this process, in the records of attempts
	slots   *line  // for the engine's work
	fetches *line  // for images that are fetched by jobs that gave their slot to others

	mu      sync.Mutex
	running map[string]*job
	recent  []*job // ended ones, newest last
	ended   Counts
	lastID  int
}

const (
	// recentJobs is the number of ended jobs that status shows.
	recentJobs = 50
	// maxJobs bounds the jobs that run or wait: all, those of one upstream, and those of one of its repositories.
	maxJobs           = 1000
	maxHostJobs       = 500
	maxRepositoryJobs = 200
	// maxFetches bounds the images that are fetched by jobs without a slot: all, and those of one upstream.
	maxFetches     = 16
	maxHostFetches = 2
	// leaseTTL is how long the others wait when a replica dies at a job.
	leaseTTL = 15 * time.Second
	// tries bounds how often a job is begun again because its lease was lost.
	tries = 3
)

var errBusy = errors.New("too many images wait for being rechunked")

// New makes a queue.
func New(o Options) *Queue {
	return &Queue{
		Options: o, replica: newReplica(), slots: newLine(max(o.AtOnce, 1), 0), fetches: newLine(maxFetches, maxHostFetches),
		running: map[string]*job{},
	}
}

// source names the image of a job.
type source struct {
	repo     name.Repository
	ref      name.Reference
	platform string // as the index says; empty for an image without one
	digest   digest.Digest
	rule     config.Rule
}

// reference names the series that an image belongs to: the tag of its repository.
func (s source) reference() string {
	if s.ref.IsDigest() {
		return s.repo.String()
	}
	return s.repo.String() + ":" + string(s.ref)
}

func (s source) key() string {
	return fmt.Sprintf("%s %s %s", s.rule.Family, s.digest, options(s.rule).Fingerprint())
}

// do has an image rechunked, or joins the job that is at it, and waits for the end of the job or of ctx. The job goes
// on when ctx ends. Neither who waits nor a job that has not begun holds the image's manifest.
func (q *Queue) do(ctx context.Context, src source) (*rechunk.Result, error) {
	j, err := q.start(ctx, src)
	if err != nil {
		return nil, err
	}
	_, ended := tracing.Start(ctx, "wait for rechunking", "job", j.id)
	defer ended(nil)
	select {
	case <-j.done:
		return j.result, j.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (q *Queue) start(ctx context.Context, src source) (*job, error) {
	key := src.key()
	q.mu.Lock()
	defer q.mu.Unlock()
	if j := q.running[key]; j != nil {
		return j, nil
	}
	if err := q.admit(src.repo); err != nil {
		return nil, err
	}
	q.lastID++
	j := &job{id: q.lastID, key: key, source: src, done: make(chan struct{}), state: Queued, started: q.Now(),
		now: q.Now}
	if !q.Work.GoRelying(ctx, "job", func(ctx context.Context) { q.run(ctx, j) }) {
		return nil, background.ErrClosed
	}
	q.running[key] = j
	return j, nil
}

// admit refuses a job of a repository where there are enough. The caller holds q.mu.
func (q *Queue) admit(repo name.Repository) error {
	host, same := 0, 0
	for _, j := range q.running {
		if j.repo.Host() == repo.Host() {
			host++
		}
		if j.repo == repo {
			same++
		}
	}
	switch {
	case len(q.running) >= maxJobs:
		return fmt.Errorf("%w: %d, which is the limit", errBusy, maxJobs)
	case host >= maxHostJobs:
		return fmt.Errorf("%w: %d of %s, which is the limit for an upstream", errBusy, maxHostJobs, repo.Host())
	case same >= maxRepositoryJobs:
		return fmt.Errorf("%w: %d of %s, which is the limit for a repository", errBusy, maxRepositoryJobs, repo)
	}
	return nil
}

// run sees a job to its end, whatever that is.
func (q *Queue) run(ctx context.Context, j *job) {
	var result *rechunk.Result
	ctx, ended := tracing.Start(ctx, "rechunk", "job", j.id, "repository", j.repo, "source", j.digest)
	err := q.Work.Catch(ctx, "job", func() (err error) {
		result, err = q.underLease(ctx, j)
		return err
	})
	j.end(result, err, q.Now())
	if errors.Is(err, rechunk.ErrPassThrough) {
		err = nil // it is no failure
	}
	ended(err)
	q.log(ctx, j)

	q.mu.Lock()
	delete(q.running, j.key)
	q.ended.count(j.state)
	q.recent = append(q.recent, j)
	if extra := len(q.recent) - recentJobs; extra > 0 {
		q.recent = append([]*job(nil), q.recent[extra:]...)
	}
	q.mu.Unlock()
	close(j.done)
}

// underLease waits until no other replica is at the same job. The engine then finds what the other made; when the other
// died, this one takes over. A job whose lease was lost begins again.
func (q *Queue) underLease(ctx context.Context, j *job) (*rechunk.Result, error) {
	if q.Leases == nil {
		return q.work(ctx, j)
	}
	for try := 1; ; try++ {
		l, err := q.Leases.Acquire(ctx, "job "+j.key, leaseTTL)
		if err != nil {
			return nil, q.Work.Explain(err)
		}
		bound, stop := l.Bind(ctx)
		result, err := q.work(bound, j)
		lost := err != nil && (errors.Is(context.Cause(bound), lease.ErrLost) || errors.Is(err, lease.ErrLost) ||
			errors.Is(err, rechunk.ErrFenced))
		stop()
		l.Release()
		if !lost || ctx.Err() != nil || try == tries {
			return result, err
		}
		q.Logger.WarnContext(ctx, "job begins again, since another replica took over", "job", j.id, "error", err)
	}
}
