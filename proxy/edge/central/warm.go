package central

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/delta"
)

// Lags tell how far behind the clients were that pulled the newest versions of a series.
type Lags interface {
	Pulled(ctx context.Context, series []rechunk.Version, most int) ([]history.Pulled, error)
}

const (
	// lagVersions is how many versions before the new one tell how far behind clients are.
	lagVersions = 4
	// maxLags bounds the versions from which deltas are made ahead; leastLag is the part of the updates that a lag must
	// have.
	maxLags  = 4
	leastLag = 0.1
	// maxWays bounds the ways in which deltas are made ahead, and nearWorth is how many times the other the worth of two is
	// that are one: neighbours among the classes.
	maxWays   = 3
	nearWorth = 4
)

// Published makes deltas ahead of an image that was just made: from the version before, and from those that clients are
// known to have; in the ways in which edges of the repository asked for deltas lately, and none where nobody did. It does
// not wait.
func (c *Central) Published(repo name.Repository, manifest digest.Digest) {
	if c.CPU <= 0 {
		return
	}
	c.Work.Go("deltas ahead", func(ctx context.Context) {
		if err := c.ahead(ctx, repo, manifest); err != nil && ctx.Err() == nil {
			c.Logger.WarnContext(ctx, "deltas can't be made ahead", "repository", repo.String(), "image", manifest.String(),
				"error", err)
		}
	})
}

func (c *Central) ahead(ctx context.Context, repo name.Repository, manifest digest.Digest) error {
	demand, err := c.Records.DeltaDemands.Get(ctx, repo.String())
	if demand == nil || err != nil {
		return err
	}
	asked := c.ways(demand.Asked)
	if len(asked) == 0 {
		return nil
	}
	series, err := c.series(ctx, repo, manifest)
	if err != nil || len(series) < 2 {
		return err
	}
	lags, err := c.lags(ctx, series)
	if err != nil {
		return err
	}
	for _, lag := range lags {
		for _, a := range asked {
			if err := c.pair(ctx, repo, &series[0], &series[lag], a); err != nil {
				return err
			}
		}
	}
	return nil
}

// ways chooses from the ways in which edges asked, the latest first, those in which deltas are made ahead: few, since each
// costs as much as the first. Of two that differ in little but what a second of an encoder's work is worth, which an edge's
// link changes from day to day, the later one is enough: an edge that asks for the other has it made, or takes this one.
func (c *Central) ways(asked []catalog.DeltaAsked) (out []catalog.DeltaAsked) {
	for _, a := range asked {
		near := func(o catalog.DeltaAsked) bool {
			return slices.Equal(o.Encoders, a.Encoders) && max(o.Worth, a.Worth) <= nearWorth*min(o.Worth, a.Worth)
		}
		if c.Now().Sub(a.At) < demandFor && c.has(a.Encoders) && len(out) < maxWays && !slices.ContainsFunc(out, near) {
			out = append(out, a)
		}
	}
	return out
}

// has reports whether this machine has programs: deltas for edges that had others would be made in a way that nobody asks
// for any more.
func (c *Central) has(programs []string) bool {
	var own []string
	if c.Encoders != nil {
		own = programsOf(c.Encoders.Available())
	}
	return !slices.ContainsFunc(programs, func(p string) bool { return !slices.Contains(own, p) })
}

// series lists a version of a repository and those before it that were made for the same reference, newest first; where
// there are none of these, since each has a tag of its own, the latest one of the repository.
func (c *Central) series(ctx context.Context, repo name.Repository, manifest digest.Digest) ([]rechunk.Version, error) {
	var out []rechunk.Version
	err := c.Records.Lineages.Each(ctx, catalog.LineagesOf(c.Family(repo.String())),
		func(_ catalog.LineageKey, l *rechunk.Lineage) error {
			for _, s := range history.Series(l.Versions) {
				i := slices.IndexFunc(s, func(v rechunk.Version) bool { return v.Digest == manifest })
				if i < 0 || out != nil {
					continue
				}
				if out = s[i:]; len(out) == 1 {
					out = latestBefore(l.Versions, manifest)
				}
			}
			return nil
		})
	return out, err
}

// latestBefore returns the version of an image in a lineage, and the latest before it that was made for a tag of the same
// repository, if there is one.
func latestBefore(lineage []rechunk.Version, manifest digest.Digest) []rechunk.Version {
	at := slices.IndexFunc(lineage, func(v rechunk.Version) bool { return v.Digest == manifest })
	key, tagged := catalog.ParseTagKey(lineage[at].Reference)
	for i := at + 1; i < len(lineage) && tagged; i++ {
		if k, ok := catalog.ParseTagKey(lineage[i].Reference); ok && k.Repository == key.Repository {
			return []rechunk.Version{lineage[at], lineage[i]}
		}
	}
	return lineage[at : at+1]
}

// lags lists by how many versions clients are behind, the version before always among them.
func (c *Central) lags(ctx context.Context, series []rechunk.Version) ([]int, error) {
	out := []int{1}
	if c.Lags == nil {
		return out, nil
	}
	pulled, err := c.Lags.Pulled(ctx, series[1:], lagVersions)
	if err != nil {
		return nil, err
	}
	var behind []float64
	var all float64
	for _, p := range pulled {
		behind = append(behind, make([]float64, max(len(p.Behind)-len(behind), 0))...)
		for i, n := range p.Behind {
			behind[i] += n
			all += n
		}
	}
	for i, n := range behind {
		if lag := i + 1; lag > 1 && lag < len(series) && n > 0 && n >= leastLag*all && len(out) < maxLags {
			out = append(out, lag)
		}
	}
	return out, nil
}

// pair has deltas made of the layers that a version has and an older one has not, as long as there is room.
func (c *Central) pair(ctx context.Context, repo name.Repository, v, older *rechunk.Version, a catalog.DeltaAsked) error {
	for _, l := range v.Layers {
		has := func(o rechunk.VersionLayer) bool { return o.Digest == l.Digest }
		if slices.ContainsFunc(older.Layers, has) || l.Encoder == "" {
			continue
		}
		for _, d := range []digest.Digest{l.Digest, older.Digest} {
			if d.Validate() != nil {
				return nil
			}
		}
		key := catalog.DeltaKey{Seed: older.Digest, Layer: l.Digest, Variant: variant(delta.WorthClass(a.Worth), a.Encoders)}
		if c.there(ctx, key) != nil {
			continue
		}
		w := &ask{Central: c, repo: repo, size: l.Size, worth: delta.WorthClass(a.Worth),
			programs: programs{allowed: a.Encoders}}
		if _, err := c.begin(ctx, w.job(key, &facts{l.DiffID, l.TarSize, l.Encoder}), true); err != nil {
			c.Logger.DebugContext(ctx, "no room to make a delta ahead", "layer", l.Digest.String(), "error", err)
			return nil
		}
	}
	return nil
}
