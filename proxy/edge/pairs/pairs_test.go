package pairs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/edge/pairs"
)

// The latest word on each pair, the latest first, and no more than so many.
func Example() {
	r := pairs.NewRecent()
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for i, state := range []string{pairs.Whole, pairs.Applied} {
		p := pairs.Pair{State: state, Seed: "old", Layer: "a", LayerBytes: 200, Bytes: int64(i), At: at.AddDate(0, 0, i)}
		p.Measure()
		r.Note(p)
	}
	r.Note(pairs.Pair{State: pairs.Whole, Layer: "b", Refused: "seed", At: at})
	for _, p := range r.List() {
		fmt.Println(p.Layer, p.State, p.Refused, p.Ratio)
	}
	// Output:
	// a applied  0.005
	// b whole seed 0
}

func TestBounded(t *testing.T) {
	t.Parallel()
	r := pairs.NewRecent()
	for i := range 2 * pairs.Most {
		r.Note(pairs.Pair{Layer: fmt.Sprint(i), At: time.Unix(int64(i), 0)})
	}
	all := r.List()
	if len(all) != pairs.Most || all[0].Layer != fmt.Sprint(2*pairs.Most-1) {
		t.Errorf("%d, the first is %s", len(all), all[0].Layer)
	}
}

// A delta that is not worth it is told in the same words where it is made and where it came.
func TestOutcome(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]pairs.Pair{
		"stored":                     {State: pairs.Stored},
		"not worth it, and not kept": {State: pairs.Refused, Refused: "gain"},
		"refused: seed":              {State: pairs.Refused, Refused: "seed"},
		"applied":                    {State: pairs.Applied, Bytes: 300, LayerBytes: 1000},
		"applied, not worth it":      {State: pairs.Applied, Bytes: 1161, LayerBytes: 1000},
	} {
		if got := p.Outcome(); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
