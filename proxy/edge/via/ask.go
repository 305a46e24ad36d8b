package via

import (
	"context"
	"errors"
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
)

const (
	// format is the version of deltas that is read here.
	format = delta.Version
	// formatsFor is for how long it is believed what a central makes, and unknownFor when it could not be asked.
	formatsFor = 10 * time.Minute
	unknownFor = 15 * time.Second
	// leastPause is between two questions for a delta that is being made.
	leastPause = 250 * time.Millisecond
)

// central is another Strata, as far as it is known.
type central struct {
	link link

	asking  sync.Mutex // held by who asks
	until   time.Time  // it is believed
	makes   bool       // deltas
	said    bool       // that it doesn't
	unknown error      // why it could not be asked
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
// ordinary mirror, which is said once.
func (s *Source) makesDeltas(ctx context.Context, repo name.Repository) (bool, error) {
	c := s.central(repo.Host())
	c.asking.Lock()
	defer c.asking.Unlock()
	if s.Now().Before(c.until) {
		return c.makes, c.unknown
	}
	formats, err := s.Central.DeltaFormats(ctx, repo)
	if err != nil {
		if ctx.Err() == nil {
			c.unknown, c.makes, c.until = err, false, s.Now().Add(unknownFor)
		}
		return false, err
	}
	c.unknown, c.until = nil, s.Now().Add(formatsFor)
	c.makes = slices.ContainsFunc(strings.Split(formats, ","), func(f string) bool { return strings.TrimSpace(f) == format })
	if !c.makes && !c.said {
		s.Logger.LogAttrs(ctx, slog.LevelWarn,
			"the upstream makes no deltas: it is no Strata, or an older one, and used as an ordinary mirror",
			slog.String("host", repo.Host()), slog.String("formats", formats))
	}
	c.said = !c.makes
	return c.makes, nil
}

// ask gets a delta of a layer, or a reason why not.
func (s *Source) ask(ctx context.Context, repo name.Repository, l layer, seeds []digest.Digest) (client.Delta, Reason,
	error) {
	q := client.DeltaRequest{Layer: l.digest, Seeds: seeds, Worth: s.worth(&s.central(repo.Host()).link)}
	if s.Encoders != nil {
		for _, p := range s.Encoders.Available() {
			q.Encoders = append(q.Encoders, p.String())
		}
	}
	patience := s.Settings().Wait
	began := s.Now()
	for {
		q.Wait = max(patience-s.Now().Sub(began), 0)
		d, err := s.Central.Delta(ctx, repo, q)
		switch {
		case err != nil:
			return d, Link, err
		case d.Body != nil:
			return d, "", nil
		case d.Refused != "":
			return d, Refused, errors.New("the central says: " + d.Refused)
		}
		left := patience - s.Now().Sub(began)
		if left <= 0 {
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

// OpenDelta asks the central of a repository for a delta that an edge behind this one wants: its own seeds, programs and
// patience count. It implements the part of registry.Deltas that the endpoint asks when it has none. The context lasts until
// Close.
func (s *Source) OpenDelta(ctx context.Context, repo name.Repository, q registry.DeltaQuery) (*registry.Delta, error) {
	if !s.Behind(repo.Host()) {
		return nil, &registry.NoDelta{Reason: "layer", Message: "nothing is known of how its blob is made"}
	}
	makes, err := s.makesDeltas(ctx, repo)
	if err != nil {
		return nil, err
	}
	if !makes {
		return nil, &registry.NoDelta{Reason: "off", Message: "the upstream of this edge makes no deltas"}
	}
	d, err := s.Central.Delta(ctx, repo, client.DeltaRequest{
		Layer: q.Layer, Seeds: q.Seeds, Worth: q.Worth, Encoders: q.Encoders, Wait: q.Wait,
	})
	switch {
	case err != nil:
		return nil, err
	case d.Refused != "":
		return nil, &registry.NoDelta{Reason: d.Refused, Message: "the upstream of this edge refused"}
	case d.Body == nil:
		return nil, &registry.NoDelta{RetryAfter: d.RetryAfter}
	}
	return &registry.Delta{ReadCloser: d.Body, Seed: d.Seed, Size: d.Size}, nil
}
