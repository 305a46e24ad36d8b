package history

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
)

// Chain returns a served image and the versions of its series before it, newest first; nothing for an image that is no
// version any longer.
func (h *History) Chain(ctx context.Context, manifest digest.Digest) ([]rechunk.Version, error) {
	lineages, _, err := h.Lineages(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range lineages {
		if !slices.Contains(l.Of.Versions, manifest) {
			continue
		}
		rec, err := h.lineages.Get(ctx, l.Key)
		if rec == nil || err != nil {
			return nil, err
		}
		for _, series := range Series(rec.Versions) {
			at := slices.IndexFunc(series, func(v rechunk.Version) bool { return v.Digest == manifest })
			if at >= 0 {
				return series[at:], nil
			}
		}
	}
	return nil, nil
}
