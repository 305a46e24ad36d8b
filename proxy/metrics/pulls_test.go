package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// values returns those of a metric by the value of its first label.
func values(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name {
				continue
			}
			label := ""
			if len(m.GetLabel()) > 0 {
				label = m.GetLabel()[0].GetValue()
			}
			out[label] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// However many repositories there are, they take a bounded number of labels, and none is left out of the sum.
func TestPulledIsBounded(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := New(reg)
	for i := range maxRepositories + 5 {
		m.Pulled(fmt.Sprint("ghcr.io/os", i))
	}
	m.Pulled("ghcr.io/os7")
	got := values(t, reg, "strata_repository_pulls_total")
	if len(got) != maxRepositories+1 || got["ghcr.io/os7"] != 2 || got[other] != 5 {
		t.Errorf("%d labels, %v and %v", len(got), got["ghcr.io/os7"], got[other])
	}
}

// An answer that says no is an answer; one that says "later" or that something broke is none.
func TestAnswered(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, "ghcr.io")
	for at, status := range []int{200, 401, 404, 429, 500, 503} {
		m.answered("ghcr.io", status, time.Unix(int64(at), 0))
	}
	if got := values(t, reg, "strata_upstream_answered_timestamp_seconds"); !cmp.Equal(got,
		map[string]float64{"ghcr.io": 2}) {
		t.Errorf("answered last at %v", got)
	}
}

func TestWatched(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := New(reg)
	m.WatchJobs(reg, func() int { return 3 })
	m.WatchCertificates(reg, func() map[string]time.Time {
		return map[string]time.Time{"clients": time.Unix(1_700_000_000, 0)}
	})
	if got := values(t, reg, "strata_jobs_waiting"); !cmp.Equal(got, map[string]float64{"": 3}) {
		t.Errorf("waiting: %v", got)
	}
	if got := values(t, reg, "strata_certificate_expiry_timestamp_seconds"); !cmp.Equal(got,
		map[string]float64{"clients": 1.7e9}) {
		t.Errorf("expiry: %v", got)
	}
}
