package operate

import (
	"context"
	"slices"

	"github.com/strata-oci/strata/proxy/edge/central"
	"github.com/strata-oci/strata/proxy/edge/pairs"
)

// DeltaReport is the answer to GET /api/v1/deltas.
type DeltaReport struct {
	central.Report
	// Came are the layers that came from other Stratas of late, as deltas or whole, the latest first, at most 1,000.
	Came []DeltaPair `json:"came,omitempty"`
}

// DeltaTotals are what of the report the status has, and DeltaPair is one of its deltas.
type (
	DeltaTotals = central.Totals
	DeltaPair   = pairs.Pair
)

// Deltas tell of what is made for other Stratas.
type Deltas interface {
	Totals() DeltaTotals
	Report() central.Report
}

// Deltas returns the deltas that are stored, refused, wait or are being made, and the layers that came, the latest first.
func (v *View) Deltas(ctx context.Context) (out DeltaReport) {
	if v.Options.Deltas != nil {
		out.Report = v.Options.Deltas.Report()
		out.Report.Deltas = v.named(ctx, out.Report.Deltas)
	}
	if v.Edge != nil {
		out.Came = v.named(ctx, v.Edge().Pairs)
	}
	return out
}

// named are pairs with what their seeds call themselves; those that it is given may be shared.
func (v *View) named(ctx context.Context, all []DeltaPair) []DeltaPair {
	out := slices.Clone(all)
	for i, p := range out {
		out[i].SeedVersion = v.label(ctx, p.Repository, p.Seed)
	}
	return out
}

// deltaTotals adds them up; nil where there are none.
func (v *View) deltaTotals() *DeltaTotals {
	if v.Options.Deltas == nil {
		return nil
	}
	t := v.Options.Deltas.Totals()
	if t.Stored+t.Waiting+t.Running+len(t.Refused) == 0 {
		return nil
	}
	return &t
}
