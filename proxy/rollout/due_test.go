package rollout_test

import (
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/rollout"
)

// The step that is told is the one that comes: the first one, although its time is over, while nobody has asked.
func TestDue(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Steps: steps(t, "10% at 1h", "50% at 24h", "100% at 48h")}
	for name, c := range map[string]struct {
		begun     bool
		past, due time.Duration
	}{
		"before the first step":   {false, 0, time.Hour},
		"nobody asked":            {false, 2 * time.Hour, time.Hour},
		"nobody asked for days":   {false, 60 * time.Hour, time.Hour},
		"after the first step":    {true, 2 * time.Hour, 24 * time.Hour},
		"after the second one":    {true, 25 * time.Hour, 48 * time.Hour},
		"all steps' time is over": {true, 60 * time.Hour, 0},
	} {
		v := version(2)
		v.MadeAt = epoch
		if c.begun {
			v.BegunAt, v.Share = epoch.Add(time.Hour), 0.1
		}
		r := &catalog.Rollout{Versions: []catalog.RolledVersion{version(1), v}}
		want := time.Time{}
		if c.due > 0 {
			want = epoch.Add(c.due)
		}
		if due := rollout.Due(r, 1, rule, epoch.Add(c.past)); !due.Equal(want) {
			t.Errorf("%s: due %v, want %v", name, due, want)
		}
	}
}
