// Package history tells of the images that were served: the versions of a family, and what clients pulled of them.
package history

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/rechunk"
)

// Counts tell what was pulled of an image.
type Counts interface {
	Counts(ctx context.Context, manifest digest.Digest) (pulls.Counts, error)
}

// History reads what was served. It is safe for concurrent use.
type History struct {
	lineages *catalog.Table[catalog.LineageKey, rechunk.Lineage]
	counts   Counts
	totals   *totals
}

// New returns the history in some records.
func New(lineages *catalog.Table[catalog.LineageKey, rechunk.Lineage], counts Counts) *History {
	return &History{lineages, counts, newTotals(lineages)}
}

// With returns the same history with other counts; what is remembered of lineages serves both.
func (h *History) With(counts Counts) *History { return &History{h.lineages, counts, h.totals} }

// Walk calls fn with the versions of each lineage and platform, newest first; of one family, or of all where that is
// empty. An error of fn ends it.
func (h *History) Walk(ctx context.Context, family string, fn func(family string, versions []rechunk.Version) error) error {
	var of catalog.Prefix[catalog.LineageKey]
	if family != "" {
		of = catalog.LineagesOf(family)
	}
	return h.lineages.Each(ctx, of, func(key catalog.LineageKey,
		l *rechunk.Lineage) error {
		return fn(key.Lineage, l.Versions)
	})
}

// Series parts the versions of a lineage by the reference that they were made for, each newest first.
func Series(versions []rechunk.Version) [][]rechunk.Version {
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

// Pulled is what is known of the clients that pulled a version.
type Pulled struct {
	pulls.Lags
	// Last is when one last did, zero when none did; Layers are how often each layer was sent to them.
	Last   time.Time
	Layers map[digest.Digest]int64
}

// Pulled tells of the clients that pulled each of the newest versions of a series, at most so many.
func (h *History) Pulled(ctx context.Context, series []rechunk.Version, most int) ([]Pulled, error) {
	chain := make([]pulls.Image, len(series))
	for i, v := range series {
		chain[i].Manifest = v.Digest
		for _, l := range v.Layers {
			chain[i].Layers = append(chain[i].Layers, l.Digest)
		}
	}
	out := make([]Pulled, min(len(chain), most))
	for i := range out {
		c, err := h.counts.Counts(ctx, chain[i].Manifest)
		if err != nil {
			return nil, err
		}
		out[i] = Pulled{pulls.Observe(chain[i:], c), c.Last, c.Layers}
	}
	return out, nil
}
