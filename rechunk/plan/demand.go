package plan

import (
	"fmt"
	"math"
)

// Demand says what clients of a lineage ask for. The zero value stands for DefaultDemand. It decides what is written again
// and when, so equal demands are needed for equal layouts: Make rounds it (Rounded) before use, and small drifts change
// nothing.
type Demand struct {
	// Lags are shares of updates: Lags[0] from one version behind, Lags[1] from two, and so on. Only their proportions
	// count. What is further behind than MaxLag counts as MaxLag.
	Lags []float64 `json:"lags"`
	// Fresh is the number of fresh installs per update.
	Fresh float64 `json:"fresh"`
}

const (
	// MaxLag is the number of versions behind up to which clients are told apart.
	MaxLag = 8
	// maxFresh bounds Demand.Fresh.
	maxFresh = 4
	// demandSteps is the number of steps between 0 and 1 to which a demand is rounded.
	demandSteps = 20
)

// DefaultDemand is the mix that is assumed while nothing was observed: hosts that follow every version, and as many that are
// several behind; one pull in eight is a fresh install.
func DefaultDemand() Demand {
	return Demand{Lags: []float64{0.3, 0.2, 0.1, 0.4}, Fresh: 0.15}
}

// Rounded returns the demand as Make takes it: at most MaxLag lags whose shares are multiples of 1/20, and Fresh in the same
// steps. One without updates or with impossible numbers (negative, not finite) is DefaultDemand.
func (d Demand) Rounded() Demand {
	var sum float64
	shares := make([]float64, MaxLag)
	for i, s := range d.Lags {
		if !(s >= 0) || math.IsInf(s, 0) {
			return DefaultDemand()
		}
		shares[min(i, MaxLag-1)] += s
		sum += s
	}
	if !(sum > 0) || math.IsInf(sum, 0) || !(d.Fresh >= 0) || math.IsInf(d.Fresh, 0) {
		return DefaultDemand()
	}
	out := Demand{Fresh: roundShare(min(d.Fresh, maxFresh))}
	last := 0
	for i, s := range shares {
		out.Lags = append(out.Lags, roundShare(s/sum))
		if out.Lags[i] > 0 {
			last = i + 1
		}
	}
	out.Lags = out.Lags[:last]
	if last == 0 {
		out.Lags = []float64{1}
	}
	return out
}

func roundShare(x float64) float64 { return math.Round(x*demandSteps) / demandSteps }

// String gives the demand for people, in shares of all pulls that add up to 100 %: "lag 1 52%, 2 35%, fresh 13%".
func (d Demand) String() string {
	whole := d.Fresh
	for _, share := range d.Lags {
		whole += share
	}
	s, sum, shown := "lag", 0.0, 0
	for i, share := range d.Lags {
		if share > 0 {
			sum += share
			upTo := int(math.Round(100 * sum / whole)) // what is rounded is the sum, so that nothing is lost
			s += fmt.Sprintf(" %d %d%%,", i+1, upTo-shown)
			shown = upTo
		}
	}
	return fmt.Sprintf("%s fresh %d%%", s, 100-shown)
}
