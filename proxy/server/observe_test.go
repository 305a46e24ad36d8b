package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/registry"
)

func TestObserve(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s := &Server{metrics: metrics.New(reg)}
	for _, q := range []registry.Request{
		{Route: registry.RouteManifest, Method: "GET", Status: 200, Bytes: 1, Origin: registry.MadeHere},
		{Route: registry.RouteManifest, Method: "GET", Status: 404, Bytes: 90},
		{Route: registry.RouteBlob, Method: "GET", Status: 200, Bytes: 10, Origin: registry.FromStore},
		{Route: registry.RouteBlob, Method: "GET", Status: 206, Bytes: 100, Origin: registry.FromUpstream},
		{Route: registry.RouteBlob, Method: "GET", Status: 200, Bytes: 1000, Origin: registry.MadeHere},
		{Route: registry.RouteBlob, Method: "HEAD", Status: 200},
	} {
		s.observe(q)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "strata_response_bytes_total", "strata_cache_hits_total", "strata_cache_misses_total":
				key := f.GetName()
				for _, l := range m.GetLabel() {
					key += " " + l.GetValue()
				}
				got[key] = m.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{
		"strata_response_bytes_total manifest rechunked": 1, "strata_response_bytes_total blob hit": 10,
		"strata_response_bytes_total blob miss": 100, "strata_response_bytes_total blob rechunked": 1000,
		"strata_cache_hits_total manifest": 1, "strata_cache_hits_total blob": 2, "strata_cache_misses_total blob": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
