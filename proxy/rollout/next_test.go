package rollout_test

import (
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/rollout"
)

// The step that is told is the one that comes: the first one, although its time is over, while nobody has asked.
func TestNext(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Steps: steps(t, "10% at 1h", "50% at 24h", "100% at 48h")}
	required := rule
	required.Require = config.Requirement{Share: 0.95, Within: config.Duration(2 * time.Hour)}
	for name, c := range map[string]struct {
		rule      config.Rollout
		has       float64 // hosts that have it; less than 0: nobody asked
		past, due time.Duration
		share     float64
	}{
		"before the first step":          {rule, -1, 0, time.Hour, 0.1},
		"nobody asked":                   {rule, -1, 2 * time.Hour, time.Hour, 0.1},
		"nobody asked for a day":         {rule, -1, 30 * time.Hour, 24 * time.Hour, 0.5},
		"nobody asked for days":          {rule, -1, 60 * time.Hour, 48 * time.Hour, 1},
		"after the first step":           {rule, 0.1, 2 * time.Hour, 24 * time.Hour, 0.5},
		"nobody asked since the first":   {rule, 0.1, 25 * time.Hour, 24 * time.Hour, 0.5},
		"after the second one":           {rule, 0.5, 25 * time.Hour, 48 * time.Hour, 1},
		"more than a step is for":        {rule, 0.7, 2 * time.Hour, 48 * time.Hour, 1},
		"all have it":                    {rule, 1, 60 * time.Hour, 0, 0},
		"without steps":                  {config.Rollout{Hold: config.Duration(time.Hour)}, -1, 0, time.Hour, 1},
		"required, nobody asked":         {required, -1, 60 * time.Hour, time.Hour, 0.1},
		"required, its time":             {required, 0.1, 2 * time.Hour, 24 * time.Hour, 0.5},
		"required, hosts are waited for": {required, 0.1, 25 * time.Hour, 0, 0.5},
	} {
		v := version(2)
		v.MadeAt = epoch
		if c.has >= 0 {
			v.BegunAt, v.StepAt, v.Share = epoch.Add(time.Hour), epoch.Add(time.Hour), c.has
		}
		r := &catalog.Rollout{Versions: []catalog.RolledVersion{version(1), v}}
		want := time.Time{}
		if c.due > 0 {
			want = epoch.Add(c.due)
		}
		if due, share := rollout.Next(r, 1, c.rule, epoch.Add(c.past)); !due.Equal(want) || share != c.share {
			t.Errorf("%s: %v at %v, want %v at %v", name, share, due, c.share, want)
		}
	}
}
