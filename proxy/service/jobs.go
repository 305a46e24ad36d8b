package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
)

// jobs runs the rechunking of images: each source image once however many ask, a bounded number at a time.
type jobs struct {
	s     *Service
	slots chan struct{}

	mu      sync.Mutex
	running map[string]*job
	recent  []*job // ended ones, newest last
	ended   admin.JobCounts
	lastID  int
}

const (
	// recentJobs is the number of ended jobs that status shows.
	recentJobs = 50
	// maxJobs bounds the jobs that run or wait, and with them the manifests in memory.
	maxJobs = 1000
)

var errBusy = fmt.Errorf("more than %d images wait for being rechunked, which is the limit", maxJobs)

// job is the rechunking of one platform image.
type job struct {
	id       int
	key      string
	repo     name.Repository
	ref      name.Reference
	platform string
	digest   digest.Digest
	ended    chan struct{}

	mu       sync.Mutex
	state    string // one of package admin's
	progress rechunk.Progress
	started  time.Time
	took     time.Duration
	result   *rechunk.Result
	err      error
}

func newJobs(s *Service, atOnce int) *jobs {
	return &jobs{s: s, slots: make(chan struct{}, atOnce), running: map[string]*job{}}
}

// jobRequest names an image to rechunk.
type jobRequest struct {
	repo     name.Repository
	ref      name.Reference
	platform string // as the index says; empty for an image without one
	digest   digest.Digest
	manifest []byte
	rule     config.Rule
}

func options(r config.Rule) rechunk.Options {
	return rechunk.Options{
		Always: r.Rechunk == config.RechunkAlways, MaxLayers: r.MaxLayers, MaxStale: float64(r.MaxStale),
		Format: layer.Compressed(r.Compression), ExactTime: r.MTime == config.MTimePreserve,
		OwnLinks: r.Hardlinks == config.HardlinksPreserve, Versions: r.KeepVersions,
		Platforms: r.Platforms,
	}
}

// do has an image rechunked, or joins the job that is at it, and waits for the end of the job or of ctx. The job goes on when ctx
// ends.
func (j *jobs) do(ctx context.Context, req jobRequest) (*rechunk.Result, error) {
	one, err := j.start(req)
	if err != nil {
		return nil, err
	}
	select {
	case <-one.ended:
		return one.result, one.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (j *jobs) start(req jobRequest) (*job, error) {
	key := fmt.Sprintf("%s %s %s", req.rule.Family, req.digest, options(req.rule).Fingerprint())
	j.mu.Lock()
	defer j.mu.Unlock()
	if one := j.running[key]; one != nil {
		return one, nil
	}
	if len(j.running) >= maxJobs {
		return nil, errBusy
	}
	j.lastID++
	one := &job{
		id: j.lastID, key: key, repo: req.repo, ref: req.ref, platform: req.platform, digest: req.digest,
		ended: make(chan struct{}), state: admin.StateQueued, started: j.s.Now(),
	}
	if !j.s.background(func(ctx context.Context) { j.work(ctx, one, req) }) {
		return nil, errClosed
	}
	j.running[key] = one
	return one, nil
}

func (j *jobs) work(ctx context.Context, one *job, req jobRequest) {
	result, err := j.inTurn(ctx, one, req)
	one.mu.Lock()
	one.result, one.err = result, err
	one.state = outcome(err)
	one.took = j.s.Now().Sub(one.started)
	one.mu.Unlock()
	j.report(ctx, one)

	j.mu.Lock()
	delete(j.running, one.key)
	j.count(one.state)
	j.recent = append(j.recent, one)
	if extra := len(j.recent) - recentJobs; extra > 0 {
		j.recent = append([]*job(nil), j.recent[extra:]...)
	}
	j.mu.Unlock()
	close(one.ended)
}

func outcome(err error) string {
	switch {
	case err == nil:
		return admin.StateDone
	case errors.Is(err, rechunk.ErrPassThrough):
		return admin.StateSkipped
	case errors.Is(err, errClosed):
		return admin.StateCancelled
	}
	return admin.StateFailed
}

// inTurn waits until no other replica is at the same job. The engine then finds what the other made; when the other died, this one
// takes over. A job whose lease was lost begins again.
func (j *jobs) inTurn(ctx context.Context, one *job, req jobRequest) (*rechunk.Result, error) {
	if j.s.Leases == nil {
		return j.inSlot(ctx, one, req)
	}
	for try := 1; ; try++ {
		held, err := j.s.Leases.Acquire(ctx, "job "+one.key, turnTTL)
		if err != nil {
			return nil, j.s.closedError(err)
		}
		bound, stop := held.Bind(ctx)
		result, err := j.inSlot(bound, one, req)
		lost := err != nil && (errors.Is(context.Cause(bound), lease.ErrLost) || errors.Is(err, lease.ErrLost) || errors.Is(err, rechunk.ErrFenced))
		stop()
		held.Release()
		if !lost || ctx.Err() != nil || try == jobTries {
			return result, err
		}
		j.s.Logger.WarnContext(ctx, "job begins again, since another replica took over", "job", one.id, "error", err)
	}
}

// inSlot waits for one of the bounded number of places.
func (j *jobs) inSlot(ctx context.Context, one *job, req jobRequest) (*rechunk.Result, error) {
	select {
	case j.slots <- struct{}{}:
		defer func() { <-j.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	one.mu.Lock()
	one.state, one.started = admin.StateRunning, j.s.Now()
	one.mu.Unlock()
	ended := j.s.Metrics.JobStarted()
	result, err := j.rechunk(ctx, one, req)
	if outcome(err) == admin.StateFailed && ctx.Err() == nil && j.s.foundDamage(ctx, err, req.manifest) {
		result, err = j.rechunk(ctx, one, req)
	}
	err = j.s.closedError(err)
	ended(metrics.JobResult(outcome(err)))
	return result, err
}

// rechunk asks the engine. A panic on one image must not take the proxy away from all others.
func (j *jobs) rechunk(ctx context.Context, one *job, req jobRequest) (result *rechunk.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			result, err = nil, fmt.Errorf("rechunking panicked: %v", p)
			j.s.Logger.ErrorContext(ctx, "rechunking panicked", "job", one.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	demand, err := j.s.demand(ctx, req.rule.Family)
	if err != nil {
		j.s.Logger.WarnContext(ctx, "what clients pulled is not known, the default mix is planned for", "job", one.id, "error", err)
	}
	// Somebody may have tidied up. The directory is ours to make.
	if err := os.MkdirAll(j.s.WorkDir, 0o700); err != nil {
		return nil, fmt.Errorf("directory for temporary files: %w", err)
	}
	asked := rechunk.Request{
		Lineage: req.rule.Family, Reference: req.reference(), Demand: demand, Digest: req.digest, Manifest: req.manifest, Source: source{j.s, req.repo}, Options: options(req.rule),
		Progress: one.note,
	}
	if err := j.adopt(ctx, one, asked); err != nil {
		return nil, err
	}
	return j.s.engine.Rechunk(ctx, asked)
}

// note keeps how far the job is. Goroutines of one phase may report out of order.
func (one *job) note(p rechunk.Progress) {
	one.mu.Lock()
	defer one.mu.Unlock()
	if p.Phase == one.progress.Phase {
		p.Done = max(p.Done, one.progress.Done)
	}
	one.progress = p
}

// report logs and counts the end of a job.
func (j *jobs) report(ctx context.Context, one *job) {
	log := j.s.Logger.With("job", one.id, "repository", one.repo.String(), "reference", string(one.ref), "source", one.digest.String())
	if one.platform != "" {
		log = log.With("platform", one.platform)
	}
	switch one.state {
	case admin.StateDone:
		r := one.result
		if r.Reused {
			log.DebugContext(ctx, "image was rechunked before", "image", r.Digest.String())
			return
		}
		if r.Sequence > 1 {
			j.s.Metrics.Update(r.NewBytes, r.SourceNewBytes)
		}
		log.InfoContext(ctx, "image rechunked", "image", r.Digest.String(), "layers", r.LayersTotal, "kept", r.LayersKept,
			"new_bytes", r.NewBytes, "total_bytes", r.TotalBytes, "source_bytes", r.SourceBytes, "seconds", one.took.Seconds())
	case admin.StateSkipped:
		log.InfoContext(ctx, "image is served as it is", "reason", one.err)
	case admin.StateCancelled:
		log.InfoContext(ctx, "rechunking stopped", "reason", one.err)
	default:
		log.ErrorContext(ctx, "rechunking failed, the original is served", "error", one.err)
	}
}
