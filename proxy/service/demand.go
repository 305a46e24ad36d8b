package service

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/plan"
)

const (
	// demandVersions is how many of the newest versions of a series tell what clients ask for.
	demandVersions = 4
	// leastPulls is the number of pulls below which nothing is concluded from them.
	leastPulls = 16
)

// demand is what the clients of a family ask for, as far as their pulls tell; the zero value when they are too few. It only steers
// what is written again and when: without it, images are the same filesystems in other layers.
func (s *Service) demand(ctx context.Context, family string) (plan.Demand, error) {
	var all pulls.Lags
	var failed error
	err := s.walkLineages(ctx, family, func(_ string, versions []rechunk.Version) {
		for _, series := range seriesOf(versions) {
			pulled, err := s.pulled(ctx, series, demandVersions)
			if err != nil {
				failed = err
				return
			}
			for _, p := range pulled {
				all = all.Plus(p.Lags)
			}
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return plan.Demand{}, fmt.Errorf("reading what clients pulled: %w", err)
	}
	return demandOf(all), nil
}

// demandOf makes what a plan wants to know of lags that were observed.
func demandOf(l pulls.Lags) plan.Demand {
	updates := l.Pulls() - l.Fresh
	if l.Pulls() < leastPulls || updates < 1 {
		return plan.Demand{}
	}
	return plan.Demand{Lags: l.Behind[:], Fresh: l.Fresh / updates}
}

// seriesOf parts the versions of a lineage by the reference that they were made for, each newest first.
func seriesOf(versions []rechunk.Version) [][]rechunk.Version {
	var out [][]rechunk.Version
	at := map[string]int{}
	for _, v := range versions {
		i, ok := at[v.Reference]
		if !ok {
			i = len(out)
			at[v.Reference] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], v)
	}
	return out
}

// pulled is what is known of the clients that pulled a version.
type pulled struct {
	pulls.Lags
	last time.Time // zero when none did
}

// pulled tells of the clients that pulled each of the newest versions of a series, at most so many.
func (s *Service) pulled(ctx context.Context, series []rechunk.Version, most int) ([]pulled, error) {
	chain := make([]pulls.Image, len(series))
	for i, v := range series {
		chain[i].Manifest = v.Digest
		for _, l := range v.Layers {
			chain[i].Layers = append(chain[i].Layers, l.Digest)
		}
	}
	out := make([]pulled, min(len(chain), most))
	for i := range out {
		c, err := s.tally.Counts(ctx, chain[i].Manifest)
		if err != nil {
			return nil, err
		}
		out[i] = pulled{pulls.Observe(chain[i:], c), c.Last}
	}
	return out, nil
}

// reference names the series that an image belongs to: the tag of its repository.
func (r jobRequest) reference() string {
	if digest.Digest(r.ref).Validate() == nil {
		return r.repo.String()
	}
	return tagKey(r.repo, r.ref)
}
