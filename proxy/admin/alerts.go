package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/operate"
)

const (
	// maxAlertBody bounds what a monitoring tells at once in bytes, and maxAlerts how many alerts it has.
	maxAlertBody = 1 << 20
	maxAlerts    = 1000
	// maxAlarmed bounds the tags that are held by one request.
	maxAlarmed = 100
)

// Alarm is a tag, "host/path:tag", whose roll-out an alert that fires is about.
type Alarm struct {
	Reference string
	Reason    string // the alert's name and what it says of itself
	// Since is when the alert began to fire; zero: it does not say.
	Since time.Time
}

// AlertRequest is the body of POST /api/v1/alerts: what Alertmanager posts to a webhook, as far as it counts here.
type AlertRequest struct {
	Alerts []Alert `json:"alerts"`
}

// Alert is one of them. It counts where its status is "firing".
type Alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"startsAt,omitzero"`
}

// AlertReport tells what alerts have brought about.
type AlertReport struct {
	// Results are by tag, in the order of the alerts.
	Results []AlertResult `json:"results"`
	// Ignored are how many alerts do not fire, or name no tag.
	Ignored int `json:"ignored"`
}

// AlertResult tells what became of a tag that an alert is about.
type AlertResult struct {
	Reference string `json:"reference"`
	// Held says that it is held now, because of the alert or before.
	Held bool `json:"held"`
	// Note says why nothing was changed; empty where the alert holds it.
	Note string `json:"note,omitempty"`
}

// ReadAlerts reads what Alertmanager, or who writes in its form, posts to a webhook, version 4. The alerts that fire are
// about reference, "host/path:tag"; where that is empty, each is about its label reference, or its labels repository and
// tag. Of alerts about the same tag the first counts. ignored are those that do not fire or name no tag. Errors are for
// people.
func ReadAlerts(r io.Reader, reference string) (alarms []Alarm, ignored int, err error) {
	var document AlertRequest
	if err := json.NewDecoder(r).Decode(&document); err != nil {
		return nil, 0, fmt.Errorf("the body has not the form of Alertmanager's webhooks: %w", err)
	}
	if n := len(document.Alerts); n == 0 || n > maxAlerts {
		return nil, 0, fmt.Errorf("the body has %d alerts: send 1 to %d", n, maxAlerts)
	}
	known := map[string]bool{}
	for _, a := range document.Alerts {
		about := reference
		if about == "" {
			about = a.Labels["reference"]
		}
		if about == "" && a.Labels["repository"] != "" && a.Labels["tag"] != "" {
			about = a.Labels["repository"] + ":" + a.Labels["tag"]
		}
		if a.Status != "firing" || about == "" {
			ignored++
			continue
		}
		if known[about] {
			continue
		}
		if known[about] = true; len(alarms) == maxAlarmed {
			return nil, 0, fmt.Errorf("the alerts are about more than %d tags", maxAlarmed)
		}
		if err := checkReference(about); err != nil {
			return nil, 0, err
		}
		alarms = append(alarms, Alarm{about, alertReason(a.Labels["alertname"], a.Annotations), a.StartsAt})
	}
	return alarms, ignored, nil
}

// alertReason is what an alert says, in a line.
func alertReason(name string, annotations map[string]string) string {
	reason := "alert"
	if name != "" {
		reason += " " + name
	}
	for _, key := range []string{"summary", "description", "message"} {
		if text := annotations[key]; text != "" {
			return reason + ": " + text
		}
	}
	return reason
}

// postAlerts holds the roll-outs that alerts are about.
func (h *Handler) postAlerts(w http.ResponseWriter, r *http.Request) {
	if h.rollouts == nil {
		writeError(w, http.StatusNotImplemented, "this proxy has no roll-outs")
		return
	}
	alarms, ignored, err := ReadAlerts(http.MaxBytesReader(w, r.Body, maxAlertBody), r.URL.Query().Get("reference"))
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	report := AlertReport{Results: []AlertResult{}, Ignored: ignored}
	for _, a := range alarms {
		stands, err := h.rollouts.HoldFor(ctx, a.Reference, a.Reason, a.Since)
		result := AlertResult{Reference: a.Reference, Held: err == nil || stands != nil && stands.Held != nil}
		switch {
		case err == nil:
			h.log.InfoContext(ctx, "an alert holds a roll-out", "reference", a.Reference, "reason", a.Reason, "by",
				operator(r))
		case errors.Is(err, operate.ErrRollout), errors.Is(err, operate.ErrNotFound), errors.Is(err, operate.ErrReference):
			result.Note = err.Error()
		default: // who told of it tries again
			h.fail(w, r, err)
			return
		}
		report.Results = append(report.Results, result)
	}
	writeJSON(w, http.StatusOK, report)
}
