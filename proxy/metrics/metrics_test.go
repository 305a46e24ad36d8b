package metrics

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// every calls every method.
func every(m *Metrics) {
	m.BuildInfo("1.2.3")
	m.RolledOut(true)
	m.RolledOut(false)
	m.RolloutChanged("hold")
	m.RolloutChanged("evil")
	m.Hosts([]HostCount{{"ghcr.io/os", "0", 0, 9}})
	m.Hosts([]HostCount{{"ghcr.io/os", "1", 0, 5}, {"ghcr.io/os", "1", 12, 1}, {"ghcr.io/os", "1", -1, 2}})
	m.Request(RouteManifest, "GET", 200, 20*time.Millisecond)
	m.Request("/v2/evil/blobs", "BREW", 999, time.Second)
	m.Sent(KindBlob, OriginRechunked, 100)
	m.Sent(KindManifest, OriginMiss, -5)
	m.Hit(KindManifest)
	m.ConnectionRefused(AddressConnections)
	m.LoginRefused("token")
	m.LoginRefused(LoginNotification)
	m.LoginRefused("evil")
	m.Reloaded(true, time.UnixMilli(1500))
	m.Miss(KindBlob)
	m.Update(10, 100)
	m.Update(10, 4)
	m.Saved(14, 15)
	m.Pulled("ghcr.io/os")
	m.UpstreamAnswer("ghcr.io", 304)
	m.UpstreamAnswer("evil.example", 200)
	m.UpstreamAnswer("ghcr.io", 0)
	m.UpstreamFailed("ghcr.io", UpstreamTimeout)
	m.UpstreamFailed("ghcr.io", "dial tcp 10.0.0.1:443")
	m.UpstreamBytes("ghcr.io", 7)
	m.StoredBytes(StoreSource, 1<<40)
	m.StoreUse(70, 100)
	m.OverQuota(true)
	m.Collected(5, nil)
	m.Collected(6, errors.New("storage failed"))
	m.Evicted("source", 8)
	m.Evicted("evil", 9)
	m.Scrubbed(11)
	m.Damaged("made")
	m.EdgeDelta(3, 12)
	m.EdgeWhole("seed")
	m.EdgeWhole("evil")
	m.EdgeWrapped(time.Second)
	m.Verified(true)
	m.Verified(false)
	m.WentBack()
	m.Signed(nil)
	m.Signed(errors.New("no space"))
	m.LayerCut(5)
	m.ImageCut(nil)
	m.ImageCut(errors.New("no space"))
	m.DeltaMade(3, 12, 2)
	m.DeltaRefused("gain")
	m.DeltaRefused("evil")
	m.DeltaAnswered("stored")
	m.Deltas(1, 2, 13)
	m.ArtifactMade(nil)
	m.ArtifactMade(errors.New("no space"))
	m.ArtifactsWaiting(3)
	m.JobStarted()(JobSkipped)
	m.JobStarted() // and still runs
}

// scrape returns the lines of Strata's own metrics but for histogram buckets, sorted.
func scrape(t *testing.T, reg *prometheus.Registry) []string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, namespace+"_") && !strings.Contains(line, "_bucket{") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // time stands still, so durations are exact
		reg := prometheus.NewPedanticRegistry()
		every(New(reg, "ghcr.io", "quay.io"))
		want := []string{
			`strata_artifacts_total{result="failed"} 1`,
			`strata_artifacts_total{result="made"} 1`,
			`strata_artifacts_waiting 3`,
			`strata_build_info{version="1.2.3"} 1`,
			`strata_cache_hits_total{kind="manifest"} 1`,
			`strata_cache_misses_total{kind="blob"} 1`,
			`strata_chunked_bytes_total 5`,
			`strata_chunked_images_total{result="done"} 1`, `strata_chunked_images_total{result="failed"} 1`,
			`strata_config_reload_success 1`,
			`strata_config_reload_timestamp_seconds 1.5`,
			`strata_connections_refused_total{limit="address"} 1`,
			`strata_damaged_total{outcome="made"} 1`,
			`strata_deltas_answers_total{answer="stored"} 1`,
			`strata_deltas_layer_bytes_total 12`,
			`strata_deltas_made_bytes_total 3`,
			`strata_deltas_made_total 1`,
			`strata_deltas_refused_total{reason="gain"} 1`,
			`strata_deltas_refused_total{reason="other"} 1`,
			`strata_deltas_running 2`,
			`strata_deltas_seconds_count 1`,
			`strata_deltas_seconds_sum 2`,
			`strata_deltas_stored_bytes 13`,
			`strata_deltas_waiting 1`,
			`strata_edge_delta_bytes_total 3`,
			`strata_edge_layers_total{how="delta",reason=""} 1`,
			`strata_edge_layers_total{how="whole",reason="other"} 1`,
			`strata_edge_layers_total{how="whole",reason="seed"} 1`,
			`strata_edge_saved_bytes_total 12`,
			`strata_edge_wrapping_seconds_total 1`,
			`strata_evicted_bytes_total{kind="other"} 9`,
			`strata_evicted_bytes_total{kind="source"} 8`,
			`strata_gc_removed_bytes_total 11`,
			`strata_gc_runs_total{result="done"} 1`,
			`strata_gc_runs_total{result="failed"} 1`,
			`strata_hosts{lag="0",repository="ghcr.io/os",tag="1"} 5`,
			`strata_hosts{lag="8",repository="ghcr.io/os",tag="1"} 3`,
			`strata_job_seconds_count{result="skipped"} 1`,
			`strata_job_seconds_sum{result="skipped"} 0`,
			`strata_jobs_running 1`,
			`strata_jobs_total{result="skipped"} 1`,
			`strata_operator_logins_refused_total{way="notification"} 1`,
			`strata_operator_logins_refused_total{way="other"} 1`,
			`strata_operator_logins_refused_total{way="page"} 0`,
			`strata_operator_logins_refused_total{way="password"} 0`,
			`strata_operator_logins_refused_total{way="session"} 0`,
			`strata_operator_logins_refused_total{way="token"} 1`,
			`strata_pulled_bytes_total 14`,
			`strata_pulled_source_bytes_total 15`,
			`strata_repository_pulls_total{repository="ghcr.io/os"} 1`,
			`strata_request_seconds_count{route="manifest"} 1`,
			`strata_request_seconds_count{route="other"} 1`,
			`strata_request_seconds_sum{route="manifest"} 0.02`,
			`strata_request_seconds_sum{route="other"} 1`,
			`strata_requests_total{code="200",method="GET",route="manifest"} 1`,
			`strata_requests_total{code="other",method="other",route="other"} 1`,
			`strata_response_bytes_total{kind="blob",origin="rechunked"} 100`,
			`strata_response_bytes_total{kind="manifest",origin="miss"} 0`,
			`strata_rollout_answers_total{version="earlier"} 1`,
			`strata_rollout_answers_total{version="newest"} 1`,
			`strata_rollout_changes_total{action="hold"} 1`,
			`strata_rollout_changes_total{action="other"} 1`,
			`strata_scrubbed_bytes_total 11`,
			`strata_signed_total{result="done"} 1`,
			`strata_signed_total{result="failed"} 1`,
			`strata_store_over_quota 1`,
			`strata_store_quota_bytes 100`,
			`strata_store_used_bytes 70`,
			`strata_stored_bytes{kind="source"} 1.099511627776e+12`,
			`strata_update_bytes_saved_total 90`,
			`strata_update_bytes_total 20`,
			`strata_upstream_answered_timestamp_seconds{host="ghcr.io"} 9.466848e+08`,
			`strata_upstream_answered_timestamp_seconds{host="other"} 9.466848e+08`,
			`strata_upstream_bytes_total{host="ghcr.io"} 7`,
			`strata_upstream_errors_total{host="ghcr.io",kind="other"} 1`,
			`strata_upstream_errors_total{host="ghcr.io",kind="timeout"} 1`,
			`strata_upstream_requests_total{code="200",host="other"} 1`,
			`strata_upstream_requests_total{code="304",host="ghcr.io"} 1`,
			`strata_verified_total{result="passed"} 1`,
			`strata_verified_total{result="refused"} 1`,
			`strata_verified_total{result="rollback"} 1`,
		}
		if diff := cmp.Diff(want, scrape(t, reg)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// Names and help follow Prometheus' conventions, and the package comment lists each metric.
func TestNames(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	every(New(reg, "ghcr.io"))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	runtime := false
	own := families[:0:0]
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace+"_") {
			runtime = runtime || strings.HasPrefix(f.GetName(), "go_")
			continue
		}
		own = append(own, f)
		if !strings.Contains(string(source), "//\t"+f.GetName()+" ") {
			t.Errorf("the package comment does not list %s", f.GetName())
		}
	}
	problems, err := promlint.NewWithMetricFamilies(own).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	if !runtime || len(own) != 53 {
		t.Errorf("got %d metrics of %d", len(own), len(families))
	}
}

func TestNil(t *testing.T) {
	t.Parallel()
	every(nil)
	every(New(nil))
}

// A program that uses the default registry has the runtime's collectors there already.
func TestRuntimeCollectorsMayBeThere(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	registerRuntime(reg)
	New(reg)
}

func BenchmarkRequest(b *testing.B) {
	m := New(prometheus.NewRegistry(), "ghcr.io")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Request(RouteBlob, "GET", 206, time.Millisecond)
		}
	})
}
