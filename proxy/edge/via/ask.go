package via

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/delta"
	layers "github.com/strata-oci/strata/rechunk/layer"
)

const (
	// formatsFor is for how long it is believed what a central makes.
	formatsFor = 10 * time.Minute
	// leastPause is between two questions for a delta that is being made.
	leastPause = 250 * time.Millisecond
	// headerGrace is how much longer than it was asked to wait a central may take for the beginning of its answer.
	headerGrace = 5 * time.Second
)

// central is another Strata, as far as it is known.
type central struct {
	link   link
	temper temper

	mu      sync.Mutex
	until   time.Time // it is believed
	makes   bool      // deltas
	said    bool      // that it doesn't
	unknown error     // why it could not be asked when it last was
}

// central returns what is known of the one that has a registry's images.
func (s *Source) central(host string) *central {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.centrals[host]
	if c == nil {
		c = &central{}
		s.centrals[host] = c
	}
	return c
}

// makesDeltas reports whether the central of a repository makes deltas that can be read here. One that does not is an
// ordinary mirror, which is said once, as is that it makes some after all. Who asks at the same time is told the same; what
// could not be found out in time is asked again by who comes next.
func (s *Source) makesDeltas(ctx context.Context, repo name.Repository, patience time.Duration) (bool, error) {
	c := s.central(repo.Host())
	if makes, known := c.believed(s.Now()); known {
		return makes, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience+headerGrace, errSilent)
	defer cancel()
	return s.asking.Do(ctx, repo.Host(), func(ctx context.Context) (bool, error) {
		formats, err := s.Central.DeltaFormats(ctx, repo)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			if ctx.Err() == nil {
				c.unknown, c.makes = err, false
			}
			return false, err
		}
		c.unknown, c.until = nil, s.Now().Add(formatsFor)
		c.makes = slices.ContainsFunc(strings.Split(formats, ","),
			func(f string) bool { return delta.Reads(strings.TrimSpace(f)) })
		switch {
		case c.makes && c.said:
			s.Logger.LogAttrs(ctx, slog.LevelInfo, "the upstream makes deltas now", slog.String("host", repo.Host()))
		case !c.makes && !c.said:
			s.Logger.LogAttrs(ctx, slog.LevelWarn,
				"the upstream makes no deltas: it is no Strata, or an older one, and used as an ordinary mirror",
				slog.String("host", repo.Host()), slog.String("formats", formats[:min(len(formats), maxUnknown)]),
				slog.String("remedy", "let upstreams."+repo.Host()+".via be the address that clients of a Strata pull from"))
		}
		c.said = !c.makes
		return c.makes, nil
	})
}

// suspect asks what a central is that has not got an image: what is no Strata does not know these names, and its clients
// are told of that no more than that the image is unknown.
func (s *Source) suspect(repo name.Repository) {
	if _, known := s.central(repo.Host()).believed(s.Now()); known {
		return
	}
	s.Work.Go("question to a central", func(ctx context.Context) {
		_, _ = s.makesDeltas(ctx, repo, s.Settings().Wait) // it tells itself
	})
}

// believed returns whether a central makes deltas, if that was found out of late.
func (c *central) believed(now time.Time) (makes, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.makes, now.Before(c.until)
}

// ask gets a delta of a layer, or a reason why not. It waits no longer than patience for one that is being made; after that,
// Settings say how long its bytes may keep us waiting.
func (s *Source) ask(ctx context.Context, repo name.Repository, l layer, seeds []digest.Digest, patience time.Duration,
) (client.Delta, Reason, error) {
	c := s.central(repo.Host())
	q := client.DeltaRequest{
		Layer: l.digest, Seeds: seeds, Worth: s.worth(&c.link), Layers: layers.EncoderNames(),
		Silence: s.Settings().Wait,
	}
	if s.Encoders != nil {
		for _, p := range s.Encoders.Available() {
			q.Encoders = append(q.Encoders, p.String())
		}
	}
	began := s.Now()
	for {
		q.Wait = max(patience-s.Now().Sub(began), 0)
		d, err := s.askOnce(ctx, repo, q)
		switch {
		case errors.Is(err, errSilent):
			return d, Wait, err
		case err != nil:
			return d, Link, err
		case d.Body != nil:
			c.temper.came()
			return d, "", nil
		case d.Refused != "":
			return d, Refused, errors.New("the central says: " + d.Refused)
		}
		left := patience - s.Now().Sub(began)
		if left <= 0 {
			if patience > 0 {
				c.temper.inVain(began, s.Now())
			}
			return d, Wait, nil
		}
		timer := time.NewTimer(min(max(d.RetryAfter, leastPause), left))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return d, Link, context.Cause(ctx)
		}
	}
}

// errSilent says that not even the beginning of an answer came.
var errSilent = errors.New("the central did not answer in time")

// askOnce asks for a delta, and does not wait much longer for an answer than the central was asked to. ctx is that of the
// delta's bytes, too.
func (s *Source) askOnce(ctx context.Context, repo name.Repository, q client.DeltaRequest) (client.Delta, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(q.Wait+headerGrace, func() { cancel(errSilent) })
	d, err := s.Central.Delta(ctx, repo, q)
	switch inTime := timer.Stop(); {
	case !inTime:
		if d.Body != nil {
			err = errors.Join(err, d.Body.Close())
		}
		return client.Delta{}, errors.Join(errSilent, err)
	case d.Body == nil:
		cancel(nil)
	default:
		d.Body = &ending{d.Body, cancel}
	}
	return d, err
}

// ending is a body with a context of its own.
type ending struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

// Close implements io.Closer.
func (e *ending) Close() error {
	defer e.cancel(nil)
	return e.ReadCloser.Close()
}

// OpenDelta asks the central of a repository for a delta that an edge behind this one wants: its own seeds, programs and
// patience count. It implements the part of registry.Deltas that the endpoint asks when it has none. The context lasts until
// Close.
func (s *Source) OpenDelta(ctx context.Context, repo name.Repository, q registry.DeltaQuery) (*registry.Delta, error) {
	if !s.Behind(repo.Host()) {
		return nil, &registry.NoDelta{Reason: "layer", Message: "nothing is known of how its blob is made"}
	}
	makes, err := s.makesDeltas(ctx, repo, s.Settings().Wait)
	if err != nil {
		return nil, err
	}
	if !makes {
		return nil, &registry.NoDelta{Reason: "off", Message: "the upstream of this edge makes no deltas"}
	}
	d, err := s.askOnce(ctx, repo, client.DeltaRequest{
		Layer: q.Layer, Seeds: q.Seeds, Worth: q.Worth, Encoders: q.Encoders, Layers: q.Layers, Wait: q.Wait,
		Silence: s.Settings().Wait,
	})
	switch {
	case errors.Is(err, errSilent):
		return nil, &registry.NoDelta{RetryAfter: time.Second}
	case err != nil:
		return nil, err
	case d.Refused != "":
		return nil, &registry.NoDelta{Reason: d.Refused, Message: "the upstream of this edge refused"}
	case d.Body == nil:
		return nil, &registry.NoDelta{RetryAfter: d.RetryAfter}
	}
	return &registry.Delta{ReadCloser: d.Body, Seed: d.Seed, Size: d.Size}, nil
}

// LeadsBack implements registry.Ways. Who asks on behalf of the same others is told the same: their questions cannot wait
// for each other, since each is on behalf of one more than the one that it waits for.
func (s *Source) LeadsBack(ctx context.Context, repo name.Repository) bool {
	if !s.Behind(repo.Host()) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, headerGrace)
	defer cancel()
	back, err := s.ways.Do(ctx, repo.Host()+" "+registry.ViaOf(ctx), func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, headerGrace)
		defer cancel()
		return s.Central.LeadsBack(ctx, repo)
	})
	return err == nil && back
}
