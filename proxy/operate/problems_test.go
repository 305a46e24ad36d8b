package operate

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/edge/via"
)

// Each thing that is wrong gives one line that names it; a proxy that is well has none.
func TestProblems(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	room := func(n int64) func() int64 { return func() int64 { return n } }
	for name, c := range map[string]struct {
		room   func() int64
		status StatusReport
		want   []string
	}{
		"well": {room(1), StatusReport{Redis: &RedisReport{Up: true}, Upstreams: []UpstreamReport{
			{Host: "a.io", Breaker: "closed", PausedUntil: now.Add(-time.Second)}}}, nil},
		"nobody knows the room": {nil, StatusReport{}, nil},
		"full":                  {room(0), StatusReport{}, []string{"the store is full"}},
		"full of images":        {room(0), StatusReport{Store: StoreReport{LargestBytes: 9}}, []string{"the store is full"}},
		"too full for the next": {room(2e9), StatusReport{Store: StoreReport{LargestBytes: 3e9}},
			[]string{"the store is nearly full: it takes 2.0 GB more, and the largest image has 3.0 GB"}},
		"room for the next": {room(3e9), StatusReport{Store: StoreReport{LargestBytes: 3e9}}, nil},
		"redis":             {nil, StatusReport{Redis: &RedisReport{Address: "r:1"}}, []string{"redis at r:1"}},
		"a root that is none": {nil, StatusReport{Edge: &via.Report{Roots: []via.RootReport{{Root: "/host",
			Error: "it is gone"}}}},
			[]string{"the root file system /host is no seed, so layers come whole: it is gone"}},
		"upstreams": {room(1), StatusReport{Upstreams: []UpstreamReport{
			{Host: "a.io", Breaker: "open", Failing: 5}, {Host: "b.io", Breaker: "half-open"},
			{Host: "c.io", Breaker: "closed", Failing: 2},
			{Host: "d.io", Breaker: "closed", PausedUntil: now.Add(time.Hour)},
			{Host: "e.io", Breaker: "closed", BudgetLimit: 100, BudgetRemaining: 3, BudgetLow: true}}},
			[]string{"a.io is out of reach", "b.io was out of reach", "c.io did not answer", "d.io limits the rate until",
				"e.io grants 3 more"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &View{Options: Options{Store: Store{Room: c.room}, Now: func() time.Time { return now }}}
			got := v.problems(c.status)
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			for i, p := range got {
				if !strings.HasPrefix(p, c.want[i]) || strings.Contains(p, "\n") {
					t.Errorf("got %q, want %q…", p, c.want[i])
				}
			}
		})
	}
}
