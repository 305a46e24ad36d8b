package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	// grace is how long a job that others wait for keeps its slot while bytes of its image are on their way, and look
	// is how often that is looked at from then on.
	grace = time.Second
	look  = 250 * time.Millisecond
	// maxGivenWay bounds how often a job gives its slot to others: each time the engine begins again.
	maxGivenWay = 3
	// fetchesAtOnce is how many blobs of one image are fetched at once without a slot.
	fetchesAtOnce = 3
)

// gaveWayError ends the engine's run on an image that is still on its way, since others wait.
type gaveWayError struct {
	read []digest.Digest // what the engine was reading
}

// Error implements error.
func (*gaveWayError) Error() string { return "the job gives its place to others" }

// work sees a job through its turns. The engine reads layers while they are on their way, as that is fastest; but when
// others wait, the slot goes to one of them, and the job has its turn again when its image is in the store. What cannot
// be stored is read on its way.
func (q *Queue) work(ctx context.Context, j *job) (result *rechunk.Result, err error) {
	var ended func(metrics.JobResult)
	for turn := 0; ; turn++ {
		var leave func()
		if leave, err = q.slots.enter(ctx, j.repo.Host()); err != nil {
			break
		}
		if ended == nil {
			j.begin(q.Now())
			defer q.tell(ctx, j)()
			ended = q.Metrics.JobStarted()
		}
		result, err = q.turn(ctx, j, turn < maxGivenWay)
		leave()
		var gave *gaveWayError
		if !errors.As(err, &gave) {
			break
		}
		q.Logger.DebugContext(ctx, "others get the job's place while its image is on its way", "job", j.id, "repository",
			j.repo.String())
		if err = q.fetch(ctx, j, gave.read); NoSpace(err) {
			turn = maxGivenWay
		} else if err != nil {
			break
		}
	}
	err = q.Work.Explain(err)
	if ended != nil {
		ended(metrics.JobResult(outcome(err)))
	}
	return result, err
}

// turn is what a job does in a slot.
func (q *Queue) turn(ctx context.Context, j *job, mayGiveWay bool) (result *rechunk.Result, err error) {
	m, err := q.Manifests.Get(ctx, j.repo, j.digest)
	if err != nil {
		return nil, err
	}
	src := &reading{Source: q.Blobs.Source(j.repo), open: map[digest.Digest]int{}}
	run, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop(nil)
	if mayGiveWay {
		watching.Go(func() { q.watch(run, j.repo, src, stop) })
	}
	err = q.recorded(ctx, j, func() error {
		result, err = q.attempt(run, j, m.Bytes, src)
		if outcome(err) == Failed && run.Err() == nil && q.foundDamage(run, err, m.Bytes) {
			result, err = q.attempt(run, j, m.Bytes, src)
		}
		return err
	})
	if gave := (*gaveWayError)(nil); err != nil && errors.As(context.Cause(run), &gave) {
		return nil, gave
	}
	return result, err
}

// watch ends a run when somebody waits for its slot and bytes are not there that the engine is reading.
func (q *Queue) watch(run context.Context, repo name.Repository, src *reading, stop context.CancelCauseFunc) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for {
		select {
		case <-run.Done():
			return
		case <-timer.C:
		}
		if read := src.digests(); q.slots.crowded() &&
			slices.ContainsFunc(read, func(d digest.Digest) bool { return !q.Blobs.Stored(run, repo, d) }) {
			stop(&gaveWayError{read})
			return
		}
		timer.Reset(look)
	}
}

// fetch has the blobs of an image stored that the engine was reading, and the layers that it has yet to read.
func (q *Queue) fetch(ctx context.Context, j *job, read []digest.Digest) error {
	leave, err := q.fetches.enter(ctx, j.repo.Host())
	if err != nil {
		return err
	}
	defer leave()
	blobs, err := q.wanted(ctx, j, read)
	if err != nil {
		return err
	}
	var size int64
	for _, d := range blobs {
		size += d.Size
	}
	if limit := q.Deadline.For(size); limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, limit,
			fmt.Errorf("%w: fetching %d bytes took more than %s", rechunk.ErrDeadline, size, limit))
		defer stop()
	}
	g, fetching := errgroup.WithContext(ctx)
	g.SetLimit(fetchesAtOnce)
	for _, d := range blobs {
		g.Go(func() error {
			return q.Work.Catch(fetching, "fetch", func() error { return q.Blobs.Keep(fetching, j.repo, d.Digest, d.Size) })
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("fetching the image: %w", err)
	}
	return nil
}

// wanted lists the blobs of an image that are not in the store and are being read, or have no index and will be.
func (q *Queue) wanted(ctx context.Context, j *job, read []digest.Digest) ([]ocispec.Descriptor, error) {
	m, err := q.Manifests.Get(ctx, j.repo, j.digest)
	if err != nil {
		return nil, err
	}
	doc, err := image.ParseManifest(m.Bytes)
	if err != nil {
		return nil, err
	}
	var out []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	for _, d := range append(doc.Layers, doc.Config) {
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		if !slices.Contains(read, d.Digest) {
			if x, err := q.Indexes.Get(ctx, d.Digest); err != nil || x != nil {
				continue
			}
		}
		if !q.Blobs.Stored(ctx, j.repo, d.Digest) {
			out = append(out, d)
		}
	}
	return out, nil
}

// reading is a source that knows what is read of it. It is safe for concurrent use.
type reading struct {
	rechunk.Source
	mu   sync.Mutex
	open map[digest.Digest]int
}

// Blob implements rechunk.Source.
func (r *reading) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	r.note(d.Digest, 1)
	rc, err := r.Source.Blob(ctx, d)
	if err != nil {
		r.note(d.Digest, -1)
		return nil, err
	}
	return &readBlob{rc, sync.OnceFunc(func() { r.note(d.Digest, -1) })}, nil
}

func (r *reading) note(d digest.Digest, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[d] += n; r.open[d] == 0 {
		delete(r.open, d)
	}
}

// digests lists what is being read.
func (r *reading) digests() []digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]digest.Digest, 0, len(r.open))
	for d := range r.open {
		out = append(out, d)
	}
	return out
}

// readBlob tells when it is no longer read.
type readBlob struct {
	io.ReadCloser
	closed func()
}

// Close implements io.Closer.
func (b *readBlob) Close() error {
	b.closed()
	return b.ReadCloser.Close()
}
