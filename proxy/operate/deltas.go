package operate

import (
	"context"

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
func (v *View) Deltas(context.Context) (out DeltaReport) {
	if v.Options.Deltas != nil {
		out.Report = v.Options.Deltas.Report()
	}
	if v.Edge != nil {
		out.Came = v.Edge().Pairs
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
