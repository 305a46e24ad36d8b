package history

import (
	"context"
	"fmt"

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

// Demand is what the clients of a family ask for, as far as their pulls tell; the zero value when they are too few. It
// only steers what is written again and when: without it, images are the same filesystems in other layers.
func (h *History) Demand(ctx context.Context, family string) (plan.Demand, error) {
	var all pulls.Lags
	err := h.Walk(ctx, family, func(_ string, versions []rechunk.Version) error {
		for _, series := range Series(versions) {
			pulled, err := h.Pulled(ctx, series, demandVersions)
			if err != nil {
				return err
			}
			for _, p := range pulled {
				all = all.Plus(p.Lags)
			}
		}
		return nil
	})
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
