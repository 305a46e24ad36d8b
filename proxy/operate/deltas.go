package operate

import (
	"context"

	"github.com/strata-oci/strata/proxy/edge/central"
)

// DeltaReport is the answer to GET /api/v1/deltas, DeltaTotals what of it the status has, and DeltaPair one of its deltas.
type (
	DeltaReport = central.Report
	DeltaTotals = central.Totals
	DeltaPair   = central.Pair
)

// Deltas tell of what is made for other Stratas.
type Deltas interface {
	Totals() DeltaTotals
	Report() DeltaReport
}

// Deltas returns the deltas that are stored, refused, wait or are being made, the latest first.
func (v *View) Deltas(context.Context) DeltaReport {
	if v.Options.Deltas == nil {
		return DeltaReport{}
	}
	return v.Options.Deltas.Report()
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
