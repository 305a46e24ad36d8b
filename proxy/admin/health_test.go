package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// probe asks for /readyz.
func probe(h *Handler) (int, ReadyReport) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, base+"/readyz", nil))
	var report ReadyReport
	if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil {
		return 0, report
	}
	return w.Code, report
}

func TestReady(t *testing.T) {
	t.Parallel()
	var broken error
	closing := false
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Status: fakeStatus{}, ShuttingDown: func() bool { return closing }, Checks: []Check{
			{Name: "store", Run: func(context.Context) error { time.Sleep(time.Second); return broken }},
			{Name: "upstream", Run: func(context.Context) error { time.Sleep(time.Second); return nil }},
		}})
		defer h.Close()
		start := time.Now()
		code, report := probe(h)
		want := ReadyReport{Status: "ready",
			Checks: []CheckReport{{Name: "store", OK: true, Seconds: 1}, {Name: "upstream", OK: true, Seconds: 1}}}
		if diff := cmp.Diff(want, report); code != 200 || diff != "" {
			t.Errorf("got %d (-want +got)\n%s", code, diff)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("checks took %s, so they did not run at once", took)
		}
		broken = errors.New("read-only file system")
		if code, report = probe(h); code != 503 || report.Error != "store: read-only file system" || report.Checks[0].OK {
			t.Errorf("broken: %d %+v", code, report)
		}
		closing = true
		if code, report = probe(h); code != 503 || report.Error != "shutting down" {
			t.Errorf("shutting down: %d %+v", code, report)
		}
	})
}

// A check that hangs is reported in time, and probes do not pile up behind it.
func TestReadyWithCheckThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		release := make(chan struct{})
		h := New(Options{Status: fakeStatus{}, CheckTimeout: 10 * time.Second, Checks: []Check{
			{Name: "deaf", Run: func(context.Context) error { runs++; <-release; return nil }},
			{Name: "slow", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		}})
		for range 3 {
			start := time.Now()
			code, report := probe(h)
			if took := time.Since(start); code != 503 || took != 11*time.Second {
				t.Errorf("got %d after %s", code, took)
			}
			if want := "deaf: no answer within 10s; slow: no answer within 10s"; report.Error != want {
				t.Errorf("got %q, want %q", report.Error, want)
			}
		}
		close(release)
		h.Close()
		if runs != 1 {
			t.Errorf("the check that hangs was called %d times", runs)
		}
	})
}
