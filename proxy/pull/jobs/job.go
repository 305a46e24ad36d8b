package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/rechunk"
)

// State is how far a job is. Its values are labels of metrics and words of the operators' API.
type State string

// The states.
const (
	Queued    State = "queued"
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed"
	Skipped   State = "skipped" // the image is served as it is, by its nature
	Cancelled State = "cancelled"
)

// job is the rechunking of one platform image.
type job struct {
	source
	id   int
	key  string
	done chan struct{} // closed when result and err are set

	mu       sync.Mutex
	state    State
	progress rechunk.Progress
	// phaseBegan is when the first report of its phase came.
	phaseBegan time.Time
	now        func() time.Time
	started    time.Time
	took       time.Duration
	result     *rechunk.Result
	err        error
}

func outcome(err error) State {
	switch {
	case err == nil:
		return Done
	case errors.Is(err, rechunk.ErrPassThrough):
		return Skipped
	case errors.Is(err, background.ErrClosed):
		return Cancelled
	}
	return Failed
}

func (j *job) begin(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state, j.started = Running, now
}

func (j *job) end(result *rechunk.Result, err error, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.result, j.err, j.state, j.took = result, err, outcome(err), now.Sub(j.started)
}

// note keeps how far the job is. Goroutines of one phase may report out of order.
func (j *job) note(p rechunk.Progress) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.Phase == j.progress.Phase {
		p.Done = max(p.Done, j.progress.Done)
	} else {
		j.phaseBegan = j.now()
	}
	j.progress = p
}

// phased returns note with a span for each phase of the engine's work; ended ends the last one.
func (j *job) phased(ctx context.Context) (note func(rechunk.Progress), ended func(error)) {
	var (
		mu    sync.Mutex
		phase string
		over  = func(error) {}
	)
	note = func(p rechunk.Progress) {
		mu.Lock()
		if p.Phase != phase {
			over(nil)
			phase = p.Phase
			_, over = tracing.Start(ctx, "phase "+phase, "total_bytes", p.Total)
		}
		mu.Unlock()
		j.note(p)
	}
	return note, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		over(err)
	}
}

// tellEvery is how often a job that runs says how far it is.
const tellEvery = 10 * time.Second

// tell logs that a job begins, and how far it is every few seconds until the returned function is called.
func (q *Queue) tell(ctx context.Context, j *job) (stop func()) {
	log := q.about(j)
	log.InfoContext(ctx, "rechunking begins")
	ended := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			r := j.report(q.Now())
			log.InfoContext(ctx, "rechunking", "phase", r.Phase, "done_bytes", r.DoneBytes, "total_bytes", r.TotalBytes,
				"seconds", r.Seconds)
		}
	})
	return func() {
		close(ended)
		telling.Wait()
	}
}

// about is the log with what all lines on a job have.
func (q *Queue) about(j *job) *slog.Logger {
	log := q.Logger.With("job", j.id, "repository", j.repo.String(), "reference", string(j.ref), "source", j.digest.String())
	if j.platform != "" {
		log = log.With("platform", j.platform)
	}
	return log
}

// log tells of the end of a job, and counts what it saved.
func (q *Queue) log(ctx context.Context, j *job) {
	log := q.about(j)
	switch j.state {
	case Done:
		r := j.result
		if r.Reused {
			log.InfoContext(ctx, "image was rechunked before", "image", r.Digest.String())
			return
		}
		if r.Sequence > 1 {
			q.Metrics.Update(r.NewBytes, r.SourceNewBytes)
		}
		if r.UnkeptBytes > 0 {
			log = log.With("unkept_bytes", r.UnkeptBytes) // the format changed, and hosts download them once more
		}
		log.InfoContext(ctx, "image rechunked", "image", r.Digest.String(), "layers", r.LayersTotal, "kept", r.LayersKept,
			"new_bytes", r.NewBytes, "total_bytes", r.TotalBytes, "source_bytes", r.SourceBytes, "seconds", j.took.Seconds())
	case Skipped:
		log.InfoContext(ctx, "image is served as it is", "reason", j.err)
	case Cancelled:
		log.InfoContext(ctx, "rechunking stopped", "reason", j.err)
	default:
		log.ErrorContext(ctx, "rechunking failed, the original is served", "error", j.err)
	}
}
