package admin

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

// failing panics wherever it is asked.
type failing struct{ fakeStatus }

func (failing) Status(context.Context) (operate.StatusReport, error) { panic("status") }

func (failing) Warm(context.Context, string, func(operate.WarmEvent)) error { panic("warm") }

// A panic costs one request, one reference or one check; it is logged with its stack and counted.
func TestPanics(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	counted := map[string]int{}
	log := &bytes.Buffer{}
	h, s := serve(t, Options{
		Status: failing{}, Warmer: failing{},
		Checks: []Check{{Name: "store", Run: func(context.Context) error { panic("check") }}},
		Logger: slog.New(slog.NewTextHandler(log, nil)), WarmConcurrency: 1,
		Panicked: func(where string) {
			mu.Lock()
			defer mu.Unlock()
			counted[where]++
		},
	})
	c := NewClient(s.URL, s.Client())
	for range 2 {
		if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "(HTTP 500)") {
			t.Errorf("status: %v", err)
		}
		if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "panicked: check") {
			t.Errorf("readiness: %v", err)
		}
		if err := c.Warm(t.Context(), []string{"x"}, nil); err == nil || !strings.Contains(err.Error(), "panicked: warm") {
			t.Errorf("warming: %v", err)
		}
	}
	settle(h)
	for _, j := range h.warm.reports() {
		if j.State != jobs.Failed {
			t.Errorf("%+v", j)
		}
	}
	response, err := s.Client().Get(s.URL + "/livez")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
	h.Close()
	mu.Lock()
	defer mu.Unlock()
	if counted["operators' request"] != 2 || counted["warm"] != 2 || counted["health check"] != 2 {
		t.Errorf("%v", counted)
	}
	if !strings.Contains(log.String(), "panic_test.go") {
		t.Error("no stack in the log")
	}
}
