package central

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/delta"
)

const (
	// retryMade is when to ask again for a delta that is being made, retryFull for one that there was no room for.
	retryMade = 2 * time.Second
	retryFull = 15 * time.Second
)

// How a question was answered; values of a label of metrics.
const (
	answerStored  = "stored"
	answerMade    = "made"
	answerPending = "pending"
	answerRefused = "refused"
	answerFailed  = "failed"
)

// OpenDelta implements registry.Deltas.
func (c *Central) OpenDelta(ctx context.Context, repo name.Repository, q registry.DeltaQuery) (*registry.Delta, error) {
	ctx, ended := tracing.Start(ctx, "delta", "repository", repo, "layer", q.Layer)
	d, err := c.open(ctx, repo, q)
	var none *registry.NoDelta
	switch {
	case errors.As(err, &none) && none.Reason != "":
		c.Metrics.DeltaRefused(none.Reason)
		c.Metrics.DeltaAnswered(answerRefused)
	case none != nil:
		c.Metrics.DeltaAnswered(answerPending)
	case err != nil:
		c.Metrics.DeltaAnswered(answerFailed)
	case d.Size >= 0:
		c.Metrics.DeltaAnswered(answerStored)
	default:
		c.Metrics.DeltaAnswered(answerMade)
	}
	if none != nil {
		tracing.Note(ctx, "refused", none.Reason)
		ended(nil)
	} else {
		ended(err)
	}
	return d, err
}

func (c *Central) open(ctx context.Context, repo name.Repository, q registry.DeltaQuery) (*registry.Delta, error) {
	if c.off() {
		return nil, refusal(turned, told(turned))
	}
	// Who may not have the layer learns no more here than from the blob.
	size, err := c.Blobs.StatBlob(ctx, repo, q.Layer)
	if err != nil {
		return nil, err
	}
	a := &ask{Central: c, repo: repo, query: q, size: size, worth: delta.WorthClass(q.Worth),
		programs: c.programs(q.Encoders)}
	if !c.Proofs.Has(ctx, repo, q.Layer) {
		// An upstream that names a layer is no proof of it; once it was fetched, there is one.
		return nil, refusal(noLayer, told(noLayer))
	}
	c.noteDemand(ctx, repo, a.worth, a.programs.allowed)
	d, err := a.answer(ctx)
	if err != nil {
		err = clientError(err)
	}
	return d, err
}

// ask is a question that may be answered.
type ask struct {
	*Central
	repo     name.Repository
	query    registry.DeltaQuery
	size     int64 // of the layer's blob
	worth    int64
	programs programs
	// proven are the seeds that the client may know of.
	proven []digest.Digest
}

// answer looks for a delta that is stored, and has one made.
func (a *ask) answer(ctx context.Context) (*registry.Delta, error) {
	facts, err := a.facts(ctx, a.repo, a.query.Layer)
	if err != nil {
		return nil, err
	}
	if facts != nil && a.query.Layers != nil && !slices.Contains(a.query.Layers, facts.encoder) {
		return nil, refusal(noLayer, "the client has not what compresses the layer")
	}
	if a.proven, err = a.known(ctx); err != nil {
		return nil, err
	}
	d, err := a.asAsked(ctx, facts)
	if err == nil || !hindered(err) || ctx.Err() != nil {
		return d, err
	}
	if other := a.instead(ctx); other != nil {
		return other, nil
	}
	return nil, err
}

// hindered reports whether there is no delta as it was asked for, and none on its way.
func hindered(err error) bool {
	var none *registry.NoDelta
	var known *registry.Error
	switch {
	case errors.As(err, &none):
		return none.Reason != ""
	case errors.As(err, &known), errors.Is(err, errUnwanted), errors.Is(err, errBroken):
		return false
	}
	return errors.Is(err, errAway) || !errors.Is(err, errImpatient)
}

// instead opens a delta that was made for others, of whichever worth, if the client has what it needs; nil: there is none.
func (a *ask) instead(ctx context.Context) *registry.Delta {
	for _, seed := range a.proven {
		for _, k := range a.shelf.all(a.key(seed), a.repo.Host(), a.worth, a.programs) {
			rec, err := a.current(ctx, k)
			if err != nil || rec == nil || rec.Refused != "" || !a.programs.runs(rec.Needs) {
				continue
			}
			if d, err := a.give(ctx, k, rec); err == nil && d != nil {
				return d
			}
		}
	}
	return nil
}

// asAsked looks for a delta that is stored and as good as the one that is asked for, and has that made.
func (a *ask) asAsked(ctx context.Context, facts *facts) (*registry.Delta, error) {
	var refused *catalog.Delta
	var left []digest.Digest
	for _, seed := range a.proven {
		d, rec, err := a.stored(ctx, seed)
		switch {
		case err != nil:
			return nil, err
		case d != nil:
			return d, nil
		case rec != nil:
			refused = rec
		default:
			left = append(left, seed)
		}
	}
	if len(left) == 0 && refused != nil {
		return nil, refusal(refused.Refused, told(refused.Refused))
	}
	j, err := a.plan(ctx, facts, left)
	if err != nil {
		return nil, err
	}
	return a.wait(ctx, j)
}

// plan says what is to be made, here or above.
func (a *ask) plan(ctx context.Context, facts *facts, seeds []digest.Digest) (*job, error) {
	why := noSeed
	if len(seeds) > 0 && a.CPU > 0 && facts == nil {
		why = noLayer
	} else if a.CPU > 0 {
		whole, err := a.whole(ctx, seeds)
		if err != nil {
			return nil, err
		}
		seed, err := a.best(ctx, whole, a.query.Layer)
		if err != nil {
			return nil, err
		}
		if seed != "" {
			return a.job(a.key(seed), facts), nil
		}
	}
	if a.Next != nil {
		return a.above(), nil
	}
	return nil, refusal(why, told(why))
}

// key names the delta that is asked for.
func (a *ask) key(seed digest.Digest) catalog.DeltaKey {
	return catalog.DeltaKey{Seed: seed, Layer: a.query.Layer, Variant: variant(a.worth, a.programs.allowed)}
}

// stored opens a delta that is stored and of use to the client; or returns the record that says that there is none.
func (a *ask) stored(ctx context.Context, seed digest.Digest) (*registry.Delta, *catalog.Delta, error) {
	key := a.key(seed)
	rec, err := a.current(ctx, key)
	if err == nil && rec != nil && rec.Refused != "" {
		return nil, rec, nil
	}
	for _, k := range append([]catalog.DeltaKey{key}, a.shelf.others(key, a.repo.Host(), a.worth, a.programs)...) {
		if k != key {
			rec, err = a.current(ctx, k)
		}
		if err != nil {
			return nil, nil, err
		}
		if rec == nil || rec.Refused != "" || !a.programs.runs(rec.Needs) {
			continue
		}
		if d, err := a.give(ctx, k, rec); d != nil || err != nil {
			return d, nil, err
		}
	}
	return nil, nil, nil
}

// give opens the delta of a record; nil where it was evicted: it is made again.
func (a *ask) give(ctx context.Context, key catalog.DeltaKey, rec *catalog.Delta) (*registry.Delta, error) {
	content, err := a.openStored(ctx, key, rec.Digest)
	if err != nil {
		if errors.Is(err, rechunk.ErrNotFound) {
			return nil, nil
		}
		return nil, err
	}
	a.shelf.put(key, *rec, a.Now())
	return &registry.Delta{ReadCloser: content, Seed: key.Seed, Size: rec.Size}, nil
}

var errImpatient = errors.New("the client does not wait any longer")

// wait has a delta made, or joins those who wait for it, and returns it as soon as it begins to be there.
func (a *ask) wait(ctx context.Context, j *job) (*registry.Delta, error) {
	j, err := a.begin(ctx, j, false)
	if err != nil {
		return nil, err
	}
	defer func() { j.left(a.Now()) }()
	reads := false
	defer func() {
		if !reads {
			j.gone()
		}
	}()
	if a.query.Wait <= 0 && !j.streams() {
		return nil, &registry.NoDelta{RetryAfter: retryMade}
	}
	waiting, stop := context.WithCancelCause(ctx)
	timer := time.AfterFunc(a.query.Wait, func() {
		if !j.streams() {
			stop(errImpatient)
		}
	})
	r, err := a.join(waiting, j)
	timer.Stop()
	if err == nil && waiting.Err() != nil {
		err = errors.Join(context.Cause(waiting), r.Close())
	}
	switch {
	case err == nil:
		reads = true
		return &registry.Delta{ReadCloser: &stopping{Reader: r, stop: stop, gone: sync.OnceFunc(j.gone)}, Seed: j.seed(),
				Size: -1},
			nil
	case errors.Is(err, flight.ErrStored):
		stop(nil)
		return a.again(ctx, j)
	case j.above != nil && errors.Is(err, errImpatient):
		err = errors.Join(errAway, err)
	}
	stop(nil)
	return nil, err
}

// join reads what is being made, behind the one who holds it: else it would end with the first client that loses patience.
func (a *ask) join(ctx context.Context, j *job) (*flight.Reader, error) {
	select {
	case <-j.started:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return a.flights.Open(ctx, j.flight(), a.fetch(j))
}

// again opens what was stored meanwhile.
func (a *ask) again(ctx context.Context, j *job) (*registry.Delta, error) {
	key, rec := j.noted()
	if rec != nil && rec.Refused != "" {
		return nil, refusal(rec.Refused, told(rec.Refused))
	}
	if rec != nil {
		if d, err := a.give(ctx, key, rec); d != nil || err != nil {
			return d, err
		}
	}
	return nil, &registry.NoDelta{RetryAfter: retryMade}
}

// clientError is what a client is told of a delta that could not be made.
func clientError(err error) error {
	var none *registry.NoDelta
	if errors.As(err, &none) {
		return none
	}
	var known *registry.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, errFull):
		return &registry.NoDelta{RetryAfter: retryFull}
	case errors.Is(err, errUnwanted), errors.Is(err, errBroken), errors.Is(err, errImpatient):
		return &registry.NoDelta{RetryAfter: retryMade} // it says nothing of the delta
	case errors.Is(err, errAway):
		return registry.Unavailable("the Strata that has the deltas is out of reach", 0).WithCause(err)
	}
	word, _ := reason(err)
	if word == "" {
		return registry.Unavailable("the proxy is shutting down", retryMade).WithCause(err)
	}
	return refusal(word, told(word))
}

// stopping is a reader with a context of its own.
type stopping struct {
	*flight.Reader
	stop context.CancelCauseFunc
	gone func()
}

// Close implements io.Closer.
func (s *stopping) Close() error {
	err := s.Reader.Close()
	s.stop(nil)
	s.gone()
	return err
}
