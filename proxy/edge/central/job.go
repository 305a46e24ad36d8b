package central

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/delta"
)

// job is a delta that waits or is being made.
type job struct {
	id      digest.Digest // of what tells it from others
	repo    name.Repository
	layer   digest.Digest
	size    int64 // of the layer's blob
	facts   *facts
	worth   int64
	allowed []string
	above   *registry.DeltaQuery // asked of the central above; nil for one that is made here
	keeps   []digest.Digest      // seeds with which one from above is stored
	since   time.Time
	hurried chan struct{} // closed when somebody asks for what is made ahead
	hurry   func()

	mu        sync.Mutex
	key       catalog.DeltaKey // its seed is known late for those from above
	ahead     bool             // nobody has asked yet
	waiters   int              // for the first byte
	readers   int              // that wait, or read on
	leftAt    time.Time        // when the last one left
	begun     bool             // somebody is at it
	started   chan struct{}    // closed with the first who is at it: the one that holds the delta
	streaming bool
	made      made
	record    *catalog.Delta // of the delta when it is stored, or what another replica found out
	err       error
	done      chan struct{} // closed when it is known what became of it
}

// made is what is known of a delta once it is there.
type made struct {
	needs   []string
	seconds float64
	cost    float64
}

// leftFor is for how long a delta that has not begun is still made when all who asked have left: they were told to come
// back.
const leftFor = time.Minute

// errBroken is what became of a delta that ended before all of it was stored.
var errBroken = errors.New("the delta broke off")

// errUnwanted ends a delta that nobody came back for.
var errUnwanted = errors.New("nobody waits for the delta any more")

// job returns one for a delta that is made here.
func (a *ask) job(key catalog.DeltaKey, f *facts) *job {
	j := a.newJob("here "+key.String(), key)
	j.facts = f
	return j
}

// above returns one for a delta that the central above may have. Its rules of access may differ by repository.
func (a *ask) above() *job {
	var text strings.Builder
	fmt.Fprintf(&text, "above %s %s %d %v %q", a.repo, a.query.Layer, a.worth, a.query.Encoders, a.query.Layers)
	for _, s := range a.query.Seeds {
		fmt.Fprintf(&text, " %s", s)
	}
	// It may need any of the client's programs, whichever are here.
	theirs := slices.Sorted(slices.Values(a.query.Encoders))
	j := a.newJob(text.String(),
		catalog.DeltaKey{Layer: a.query.Layer, Variant: aboveVariant(a.repo.Host(), a.worth, theirs)})
	j.above, j.keeps, j.allowed = &a.query, a.proven, theirs
	return j
}

func (a *ask) newJob(id string, key catalog.DeltaKey) *job {
	j := &job{
		id: digest.FromString(id), key: key, repo: a.repo, layer: key.Layer, size: a.size, worth: a.worth,
		allowed: a.programs.allowed, hurried: make(chan struct{}), started: make(chan struct{}),
		done: make(chan struct{}), since: a.Now(),
	}
	j.hurry = sync.OnceFunc(func() { close(j.hurried) })
	return j
}

// flight is what those share who read it while it is being made. Who may ask was settled before.
func (j *job) flight() flight.Key { return flight.Key{Scope: "delta", Digest: j.id} }

func (j *job) seed() digest.Digest {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.key.Seed
}

// note remembers the record of a delta, and noted returns it with its key.
func (j *job) note(rec *catalog.Delta) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record = rec
}

func (j *job) noted() (catalog.DeltaKey, *catalog.Delta) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.key, j.record
}

// streams reports whether bytes have come.
func (j *job) streams() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.streaming
}

// passing reports whether a delta is only passed on: it needs an image of which nobody could be told here.
func (j *job) passing() bool { return j.above != nil && !slices.Contains(j.keeps, j.seed()) }

// left notes that one who asked is told something, or has gone.
func (j *job) left(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiters--
	j.leftAt = now
}

// gone notes that one who asked does not read any more.
func (j *job) gone() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.readers--
}

// unasked reports whether nobody has asked yet.
func (j *job) unasked() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ahead
}

// wanted reports whether anybody still cares for what has not begun.
func (j *job) wanted(now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ahead || j.waiters > 0 || now.Sub(j.leftAt) < leftFor
}

// first reports whether nobody was at a job before.
func (j *job) first() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.begun {
		return false
	}
	j.begun = true
	close(j.started)
	return true
}

// settle says what became of a job; what is said first counts.
func (j *job) settle(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-j.done:
	default:
		j.err = err
		close(j.done)
	}
}

// over returns what became of a job when that is known: flight.ErrStored, or why there is no delta.
func (j *job) over(ctx context.Context) error {
	select {
	case <-j.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		return flight.ErrStored
	}
	return j.err
}

// begin joins the job at work for the same delta, or starts this one. ahead says that nobody asked for it yet.
func (c *Central) begin(ctx context.Context, j *job, ahead bool) (*job, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if running := c.jobs[j.id]; running != nil {
		if !ahead {
			running.ask()
		}
		return running, nil
	}
	if j.above == nil && !c.line.room(ahead) || len(c.jobs) >= c.Queue+maxAbove || !ahead && c.crowded(j.repo) {
		return nil, errFull
	}
	j.ahead = ahead
	if !ahead {
		j.ask()
	}
	// It holds the delta while those who wait for it come and go.
	if !c.Work.GoRelying(ctx, "delta", func(ctx context.Context) {
		c.end(ctx, j, c.flights.Wait(ctx, j.flight(), c.fetch(j)))
	}) {
		return nil, background.ErrClosed
	}
	c.jobs[j.id] = j
	return j, nil
}

// crowded reports whether so many deltas of a repository wait that others would get no place. The caller holds c.mu.
func (c *Central) crowded(repo name.Repository) bool {
	waiting := 0
	for _, j := range c.jobs {
		if j.repo == repo && !j.streams() {
			waiting++
		}
	}
	return waiting >= max(c.Queue/repositoryShare, leastShare)
}

// A repository has that part of the line, one in so many, and no less than some places.
const (
	repositoryShare = 4
	leastShare      = 16
)

// maxAbove bounds the deltas that come from above at the same time.
const maxAbove = 256

func (j *job) ask() {
	j.mu.Lock()
	j.ahead = false
	j.waiters++
	j.readers++
	j.mu.Unlock()
	j.hurry()
}

// end sees to what is left of a job, and remembers why there is no delta.
func (c *Central) end(ctx context.Context, j *job, err error) {
	if j.first() {
		j.settle(err) // nothing was begun any more
	}
	<-j.done
	broke := err
	j.mu.Lock()
	key, waited := j.key, c.Now().Sub(j.since)
	err = j.err
	j.mu.Unlock()
	c.hinder(ctx, j, key, errors.Join(err, broke))
	if word, believed := reason(err); err != nil && believed > 0 && j.above == nil && !errors.Is(err, errUnwanted) &&
		!errors.Is(err, errFull) {
		rec := &catalog.Delta{
			BlobSize: j.size, Repository: j.repo.String(), Worth: j.worth, Allowed: j.allowed, At: c.Now().UTC(),
			Seconds: waited.Seconds(), Refused: word, Message: message(err), Until: c.Now().UTC().Add(believed),
		}
		c.keep(ctx, key, rec)
		log := c.Logger.With("repository", j.repo.String(), "layer", j.layer.String(), "seed", key.Seed.String())
		if word == noGain {
			log.InfoContext(ctx, "delta is not worth it", "reason", err)
		} else {
			log.WarnContext(ctx, "delta could not be made", "error", err)
		}
	}
	c.mu.Lock()
	delete(c.jobs, j.id)
	c.mu.Unlock()
	c.tell()
}

// leaseTTL is how long the others wait when a replica dies while it makes a delta; leasePatience is for how long they leave
// one to it that lives.
const (
	leaseTTL      = 15 * time.Second
	leasePatience = 30 * time.Minute
)

// fetch makes a delta, or gets it from above: a stream that has begun, or the error why there is none.
func (c *Central) fetch(j *job) flight.Fetch {
	return func(ctx context.Context) (io.ReadCloser, int64, error) {
		if !j.first() {
			return nil, 0, j.over(ctx) // it came to an end between a look at it and now
		}
		open := c.start
		if j.above != nil {
			open = c.fromAbove
		}
		body, err := open(ctx, j)
		if errors.Is(err, flight.ErrStored) {
			j.settle(nil)
		}
		if err != nil {
			j.settle(err)
			return nil, 0, err
		}
		context.AfterFunc(ctx, func() { j.settle(errBroken) }) // unless it was said why, or that it is there
		j.mu.Lock()
		j.streaming = true
		j.mu.Unlock()
		return body, -1, nil
	}
}

// start makes a delta when its turn comes, unless another replica has. A processor is waited for when it is known that the
// delta is this replica's to make.
func (c *Central) start(ctx context.Context, j *job) (io.ReadCloser, error) {
	release, finished := c.Leases.Turn(ctx, "delta "+j.id.String(), leaseTTL, leasePatience, func(ctx context.Context) bool {
		rec := c.there(ctx, j.key) // by another replica
		j.note(rec)
		return rec != nil
	})
	context.AfterFunc(ctx, release) // when the store has it, or has dropped it
	if finished {
		return nil, flight.ErrStored
	}
	cpus, leave, err := c.line.enter(ctx, j.unasked(), j.hurried)
	if err != nil {
		release()
		return nil, err
	}
	c.tell()
	done, ok := c.Work.Begin()
	switch {
	case !ok:
		err = background.ErrClosed
	case !j.wanted(c.Now()):
		done()
		err = errUnwanted
	}
	if err != nil {
		leave()
		release()
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		defer done()
		defer leave()
		err := c.Work.Catch(ctx, "delta", func() error { return c.make(ctx, w, j, cpus) })
		if err != nil {
			j.settle(err)
		}
		_ = w.CloseWithError(err) // it never fails
	}()
	// An error before the first byte is an answer, one after it breaks the answer off.
	body := bufio.NewReaderSize(r, 64<<10)
	if _, err := body.Peek(1); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return pipe{body, r}, nil
}

// pipe reads what is made through a buffer.
type pipe struct {
	*bufio.Reader
	io.Closer
}

// programsOf lists programs, "name/version".
func programsOf(all []delta.Program) []string {
	var out []string
	for _, p := range all {
		out = append(out, p.String())
	}
	return out
}
