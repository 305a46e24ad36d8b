package plan

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDemandRounded(t *testing.T) {
	t.Parallel()
	long := make([]float64, 30)
	long[0], long[29] = 1, 1
	for name, test := range map[string]struct {
		in, want Demand
	}{
		"zero":         {Demand{}, DefaultDemand()},
		"no updates":   {Demand{Lags: []float64{0, 0}, Fresh: 1}, DefaultDemand()},
		"negative":     {Demand{Lags: []float64{1, -1}}, DefaultDemand()},
		"not a number": {Demand{Lags: []float64{math.NaN()}}, DefaultDemand()},
		"infinite":     {Demand{Lags: []float64{math.Inf(1)}}, DefaultDemand()},
		"overflow":     {Demand{Lags: []float64{math.MaxFloat64, math.MaxFloat64}}, DefaultDemand()},
		"counts": {Demand{Lags: []float64{300, 101, 0, 0}, Fresh: 0.26},
			Demand{Lags: []float64{0.75, 0.25}, Fresh: 0.25}},
		"far behind": {Demand{Lags: long}, Demand{Lags: []float64{0.5, 0, 0, 0, 0, 0, 0, 0.5}}},
		"many fresh": {Demand{Lags: []float64{1}, Fresh: 1000}, Demand{Lags: []float64{1}, Fresh: maxFresh}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := test.in.Rounded()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(got, got.Rounded()); diff != "" {
				t.Error("rounding again changes it", diff)
			}
		})
	}
}
