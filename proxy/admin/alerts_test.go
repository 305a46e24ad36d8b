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
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/operate"
)

// alarmed holds roll-outs, once each.
type alarmed struct {
	Rollouts
	held map[string]string // why, by tag
	err  error
}

// HoldFor implements Rollouts.
func (a *alarmed) HoldFor(_ context.Context, ref, reason string, _ time.Time) (*operate.RolloutReport, error) {
	report := &operate.RolloutReport{Held: &catalog.RolloutStop{}}
	switch {
	case a.err != nil:
		return nil, a.err
	case ref == "ghcr.io/team/unknown:1":
		return nil, fmt.Errorf("%w: nobody pulled it", operate.ErrNotFound)
	case a.held[ref] != "":
		return report, fmt.Errorf("%w: it is held already", operate.ErrRollout)
	}
	a.held[ref] = reason
	return report, nil
}

func postAlerts(t *testing.T, h http.Handler, query, body string) (int, AlertReport) {
	t.Helper()
	q := httptest.NewRequest(http.MethodPost, "http://localhost/api/v1/alerts"+query, strings.NewReader(body))
	q.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q)
	var report AlertReport
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, report
}

// Alerts that fire hold the tags that they name; all else is told, and what failed is to be tried again.
func TestAlerts(t *testing.T) {
	t.Parallel()
	rollouts := &alarmed{held: map[string]string{}}
	h := New(Options{Rollouts: rollouts})
	defer h.Close()
	status, report := postAlerts(t, h, "", `{"version": "4", "receiver": "x", "alerts": [
		{"status": "firing", "labels": {"alertname": "Down", "repository": "ghcr.io/team/os", "tag": "1"},
			"annotations": {"summary": "9 hosts are down"}, "startsAt": "2026-01-01T00:00:00Z"},
		{"status": "firing", "labels": {"alertname": "Down", "reference": "ghcr.io/team/os:1"}},
		{"status": "firing", "labels": {"reference": "ghcr.io/team/unknown:1"}},
		{"status": "resolved", "labels": {"reference": "ghcr.io/team/os:2"}},
		{"status": "firing", "labels": {"alertname": "Disk"}}]}`)
	if status != http.StatusOK || report.Ignored != 2 || len(report.Results) != 2 || !report.Results[0].Held ||
		report.Results[1].Held || report.Results[1].Note == "" ||
		rollouts.held["ghcr.io/team/os:1"] != "alert Down: 9 hosts are down" {
		t.Errorf("%d %+v, %v", status, report, rollouts.held)
	}
	const firing = `{"alerts": [{"status": "firing"}]}`
	status, report = postAlerts(t, h, "?reference=ghcr.io/team/os:1", firing)
	if status != http.StatusOK || !report.Results[0].Held || report.Results[0].Note == "" {
		t.Errorf("again: %d %+v", status, report)
	}
	rollouts.err = errors.New("the store is away")
	if status, _ := postAlerts(t, h, "?reference=ghcr.io/team/os:1", firing); status != http.StatusInternalServerError {
		t.Errorf("the store is away: %d", status)
	}
	many := `{"alerts": [` + strings.Repeat(`{},`, maxAlerts) + `{}]}`
	tags := &strings.Builder{}
	for i := range maxAlarmed + 1 {
		fmt.Fprintf(tags, `,{"status": "firing", "labels": {"reference": "ghcr.io/team/os:%d"}}`, i)
	}
	for name, body := range map[string]string{
		"no document": "x", "no alerts": "{}", "too many": many, "too large": strings.Repeat(" ", maxAlertBody) + firing,
		"too many tags": `{"alerts": [` + tags.String()[1:] + `]}`,
		"a long name":   `{"alerts": [{"status": "firing", "labels": {"reference": "` + strings.Repeat("x", 2000) + `"}}]}`,
	} {
		if status, _ := postAlerts(t, h, "", body); status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, status)
		}
	}
}

// Whatever is posted, what comes of it is bounded.
func FuzzReadAlerts(f *testing.F) {
	f.Add(`{"alerts": [{"status": "firing", "labels": {"repository": "a.b/c", "tag": "1"}}]}`, "")
	f.Add(`{"alerts": [{"status": "firing", "annotations": {"summary": "x"}, "startsAt": "2026-01-01T00:00:00Z"}]}`,
		"a.b/c:1")
	f.Fuzz(func(t *testing.T, body, reference string) {
		alarms, ignored, err := ReadAlerts(strings.NewReader(body), reference)
		if err != nil {
			return
		}
		if len(alarms) > maxAlarmed || ignored > maxAlerts {
			t.Errorf("%d alarms, %d ignored", len(alarms), ignored)
		}
		for _, a := range alarms {
			if checkReference(a.Reference) != nil || !strings.HasPrefix(a.Reason, "alert") {
				t.Errorf("%+v", a)
			}
		}
	})
}

// What Alertmanager posts names a tag by its alerts' labels, unless the address does.
func ExampleReadAlerts() {
	alarms, ignored, err := ReadAlerts(strings.NewReader(`{"version": "4", "alerts": [
		{"status": "firing", "labels": {"alertname": "HostsDown", "repository": "ghcr.io/team/os", "tag": "stable"},
			"annotations": {"summary": "12 hosts are down"}, "startsAt": "2026-01-01T12:00:00Z"},
		{"status": "resolved", "labels": {"alertname": "DiskFull"}}]}`), "")
	fmt.Println(alarms, ignored, err)
	// Output: [{ghcr.io/team/os:stable alert HostsDown: 12 hosts are down 2026-01-01 12:00:00 +0000 UTC}] 1 <nil>
}
