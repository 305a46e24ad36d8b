package main

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/edge/via"
)

func TestPrintEdge(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	slow := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	printEdge(&out, &via.Report{
		Deltas: 3, Whole: 2, Reasons: map[string]int64{"seed": 1, "link": 1}, DeltaBytes: 1000, SavedBytes: 9000,
		Centrals: []via.CentralReport{{Host: "ghcr.io", Makes: true, Rate: 2000}, {Host: "quay.io"},
			{Host: "slow.example", Makes: true, Rate: 1, Slow: &slow},
			{Host: "registry.example", Unknown: "registry.example: no route to host"}},
	})
	want := "edge\t3 layers of deltas, 1.0 kB for 10 kB; 2 whole: link 1, seed 1\n" +
		"\tghcr.io: 2.0 kB/s\n\tquay.io: its upstream makes no deltas\n" +
		"\tslow.example: its upstream let deltas wait too long, and is asked for none until 03:04:05\n" +
		"\tregistry.example: not known whether its upstream makes deltas: registry.example: no route to host\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
