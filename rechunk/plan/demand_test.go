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

// The shares that people read are of all pulls, and add up.
func TestDemandString(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]Demand{
		"lag 1 26%, 2 17%, 3 9%, 4 35%, fresh 13%": DefaultDemand(),
		"lag 1 100%, fresh 0%":                     {Lags: []float64{1}},
		"lag 1 20%, fresh 80%":                     {Lags: []float64{1}, Fresh: 4},
		"lag 1 33%, 2 34%, 3 33%, fresh 0%":        {Lags: []float64{0.05, 0.05, 0.05}},
		"lag 1 11%, 2 11%, 3 11%, 4 11%, 5 12%, 6 11%, 7 11%, 8 11%, fresh 11%": {
			Lags: []float64{.1, .1, .1, .1, .1, .1, .1, .1}, Fresh: .1},
	} {
		if got := d.String(); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
