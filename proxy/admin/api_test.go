package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/proxy/operate"
)

func TestClientReadsWhatTheHandlerWrites(t *testing.T) {
	t.Parallel()
	_, s := serve(t, Options{})
	c := NewClient(s.URL+"/", s.Client())
	ctx := t.Context()

	status, err := c.Status(ctx)
	want, _ := fakeStatus{}.Status(ctx)
	if diff := cmp.Diff(want, status); err != nil || diff != "" {
		t.Errorf("status: %v (-want +got)\n%s", err, diff)
	}
	repositories, err := c.Repositories(ctx)
	wantList := []operate.RepositoryReport{bluefin().RepositoryReport,
		{Name: "quay.io/fedora/fedora-bootc", Tags: []operate.TagReport{}}}
	if diff := cmp.Diff(wantList, repositories); err != nil || diff != "" {
		t.Errorf("repositories: %v (-want +got)\n%s", err, diff)
	}
	detail, err := c.Repository(ctx, "ghcr.io/ublue-os/bluefin")
	if diff := cmp.Diff(bluefin(), detail); err != nil || diff != "" {
		t.Errorf("repository: %v (-want +got)\n%s", err, diff)
	}
	if detail, err := c.Repository(ctx, "localhost:5000/with space"); err != nil ||
		detail.Name != "localhost:5000/with space" {
		t.Errorf("escaped name: %v, %v", detail, err)
	}
	deltas, err := c.Deltas(ctx)
	if diff := cmp.Diff(fakeStatus{}.Deltas(ctx), deltas); err != nil || diff != "" {
		t.Errorf("deltas: %v (-want +got)\n%s", err, diff)
	}
	jobs, err := c.Jobs(ctx)
	wantJobs := fakeStatus{}.Jobs(ctx)
	wantJobs[0].Kind = operate.KindRechunk
	if diff := cmp.Diff(wantJobs, jobs); err != nil || diff != "" {
		t.Errorf("jobs: %v (-want +got)\n%s", err, diff)
	}
}

// Scripts read these keys, so they do not change.
func TestKeysAreStable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		document any
		want     string
	}{
		"status": {operate.StatusReport{},
			"jobs repositories store update_bytes update_bytes_saved uptime_seconds version versions"},
		"store":      {operate.StoreReport{}, "driver served_bytes source_bytes total_bytes"},
		"repository": {operate.RepositoryReport{}, "name tags update_bytes update_bytes_saved versions"},
		"detail": {operate.RepositoryDetail{LayersOf: "x"},
			"history layers layers_of name tags update_bytes update_bytes_saved versions"},
		"tag": {operate.TagReport{CheckedAt: someTime, UpdatedAt: someTime},
			"checked_at digest served source_digest tag updated_at"},
		"version": {operate.VersionReport{Created: someTime, LastPull: someTime, Reference: "x"},
			"created digest last_pull layers_kept layers_new " +
				"layers_total new_bytes platform pulls reference seconds sequence source_digest stale_bytes total_bytes"},
		"layer": {operate.LayerReport{MadeAt: someTime},
			"age digest heat kept made_at name pulls since size stale_bytes stale_share"},
		"pulls": {operate.PullCount{}, "behind fresh"},
		"job": {operate.JobReport{Repository: "x", Reference: "x", Platform: "x", SourceDigest: "x", Phase: "x", Error: "x",
			StartedAt: someTime},
			"done_bytes error id kind phase platform reference repository seconds source_digest started_at state total_bytes"},
		"event": {operate.WarmEvent{}, "done_bytes reference state total_bytes"},
	} {
		text, err := json.Marshal(tc.document)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := json.Unmarshal(text, &keys); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, key := range strings.Fields(tc.want) {
			if _, ok := keys[key]; ok {
				got = append(got, key)
			}
		}
		if strings.Join(got, " ") != tc.want || len(keys) != len(got) {
			t.Errorf("%s: got %s, want the keys %s", name, text, tc.want)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "strata_test", Help: "x"}))
	whole := New(Options{Status: fakeStatus{}, Warmer: fakeWarmer{}, Gatherer: reg})
	defer whole.Close()
	broken := New(Options{Status: fakeStatus{err: errors.New("store: disk on fire")}})
	defer broken.Close()
	slow := New(Options{Status: fakeStatus{err: context.DeadlineExceeded}})
	defer slow.Close()
	for _, tc := range []struct {
		h            *Handler
		method, path string
		status       int
		want         string // part of the body
	}{
		{whole, "GET", "/livez", 200, `{"status":"ok"}`},
		{whole, "HEAD", "/livez", 200, ""},
		{whole, "GET", "/metrics", 200, "strata_test 0"},
		{whole, "GET", "/", 200, "<title>Strata</title>"},
		{whole, "GET", "/assets/strata.js", 200, "ask("},
		{whole, "GET", "/nothing", 404, `{"error":"there is nothing at this path"}`},
		{whole, "GET", "/api/v1/repositories/ghcr.io/none", 404, `{"error":"there is no such repository"}`},
		{whole, "GET", "/api/v1/repositories/" + strings.Repeat("a", maxName+1), 404,
			`{"error":"there is no such repository"}`},
		{whole, "POST", "/api/v1/status", 405, `{"error":"this path takes GET and HEAD"}`},
		{whole, "DELETE", "/", 405, `{"error":"this path takes GET and HEAD"}`},
		{whole, "GET", "/api/v1/warm", 405, `{"error":"this path takes POST"}`},
		{broken, "GET", "/api/v1/status", 500, `{"error":"store: disk on fire"}`},
		{broken, "GET", "/api/v1/repositories", 500, `{"error":"store: disk on fire"}`},
		{broken, "GET", "/api/v1/repositories/x", 500, `{"error":"store: disk on fire"}`},
		{slow, "GET", "/api/v1/status", 504, `"error"`},
		{broken, "POST", "/api/v1/warm", 501, `{"error":"this proxy cannot warm"}`},
		{broken, "GET", "/metrics", 404, `"error"`},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(tc.method, base+tc.path, nil)
		r.Header.Set("Content-Type", "application/json")
		tc.h.ServeHTTP(w, r)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s %s: got %d %s", tc.method, tc.path, w.Code, w.Body)
		}
		if w.Code == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow header", tc.method, tc.path)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s %s: headers %v", tc.method, tc.path, w.Header())
		}
	}
}

func TestClientErrors(t *testing.T) {
	t.Parallel()
	_, s := serve(t, Options{})
	c := NewClient(s.URL, s.Client())
	if _, err := c.Repository(t.Context(), "x/y"); !errors.Is(err, operate.ErrNotFound) ||
		err.Error() != "there is no such repository (HTTP 404)" {
		t.Errorf("got %v", err)
	}
	if _, err := c.Enqueue(t.Context(), []string{"x"}); err == nil || errors.Is(err, operate.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusTeapot)
		}
		fmt.Fprint(w, "<html>")
	}))
	defer other.Close()
	c = NewClient(other.URL, other.Client())
	for name, err := range map[string]error{
		"document": func() error { _, err := c.Status(t.Context()); return err }(),
		"error":    c.Ready(t.Context()),
		"stream":   c.Warm(t.Context(), []string{"x"}, nil),
	} {
		if err == nil || strings.Contains(err.Error(), "<html>") {
			t.Errorf("%s of another server: %v", name, err)
		}
	}
}
