package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/background"
)

// Check tells whether something that the proxy needs is there.
type Check struct {
	// Name is what operators call it.
	Name string
	// Run returns what is wrong, or nil. It should return when ctx ends. It is not called again while it runs.
	Run func(ctx context.Context) error
}

const defaultCheckTimeout = 5 * time.Second

// check runs a Check. Probes that come while it runs share that run, so that a check that hangs piles nothing up.
type check struct {
	Check
	timeout time.Duration

	mu      sync.Mutex
	current *checkRun
}

// checkRun is one run. Its report may be read when done is closed.
type checkRun struct {
	done   chan struct{}
	start  time.Time
	report CheckReport
}

func newCheck(c Check, timeout time.Duration) *check {
	if timeout <= 0 {
		timeout = defaultCheckTimeout
	}
	return &check{Check: c, timeout: timeout}
}

// start returns the run under way, or a new one. Runs end with the group, not with the probe that began them.
func (c *check) start(work *background.Group) *checkRun {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return c.current
	}
	run := &checkRun{done: make(chan struct{}), start: time.Now()}
	c.current = run
	end := func(err error) {
		run.report = c.result(err, time.Since(run.start))
		c.current = nil
		close(run.done)
	}
	begun := work.Go("health check", func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		err := work.Catch(ctx, "health check", func() error { return c.Run(ctx) })
		c.mu.Lock()
		defer c.mu.Unlock()
		end(err)
	})
	if !begun {
		end(background.ErrClosed)
	}
	return run
}

func (c *check) result(err error, took time.Duration) CheckReport {
	report := CheckReport{Name: c.Name, OK: err == nil, Seconds: took.Seconds()}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		report.Error = fmt.Sprintf("no answer within %s", c.timeout)
	case err != nil:
		report.Error = err.Error()
	}
	return report
}

// wait returns the report of a run, or that it takes too long.
func (c *check) wait(ctx context.Context, run *checkRun) CheckReport {
	// The run has the same time-out; it gets a moment more to say so itself.
	timer := time.NewTimer(c.timeout + c.timeout/10)
	defer timer.Stop()
	select {
	case <-run.done:
		return run.report
	case <-timer.C:
		return c.result(context.DeadlineExceeded, time.Since(run.start))
	case <-ctx.Done():
		return c.result(ctx.Err(), time.Since(run.start))
	}
}

func (h *Handler) livez(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	report := h.ready(r.Context())
	switch {
	case report.Error == "":
		writeJSON(w, http.StatusOK, h.forAsker(w, r, report))
	case h.ending():
		writeJSON(w, http.StatusServiceUnavailable, report)
	default:
		writeJSON(w, http.StatusServiceUnavailable, h.forAsker(w, r, report))
	}
}

// ready tells whether the proxy can serve.
func (h *Handler) ready(ctx context.Context) ReadyReport {
	report := ReadyReport{Status: "ready", Checks: []CheckReport{}}
	if h.ending() {
		report.Status, report.Error = "not ready", "shutting down"
		return report
	}
	runs := make([]*checkRun, len(h.checks))
	for i, c := range h.checks {
		runs[i] = c.start(h.work)
	}
	var failed []string
	for i, c := range h.checks {
		result := c.wait(ctx, runs[i])
		report.Checks = append(report.Checks, result)
		if !result.OK {
			failed = append(failed, result.Name+": "+result.Error)
		}
	}
	if len(failed) > 0 {
		report.Status, report.Error = "not ready", strings.Join(failed, "; ")
	}
	return report
}

// notReady says why the proxy cannot serve; "" while it can.
func (h *Handler) notReady(ctx context.Context) string { return h.ready(ctx).Error }

// forAsker leaves out what is wrong for who is no operator.
func (h *Handler) forAsker(w http.ResponseWriter, r *http.Request, report ReadyReport) ReadyReport {
	logsIn := h.login != nil && h.login.LogsIn()
	if !logsIn && h.named(r) {
		return report
	}
	if logsIn && h.named(r) && (r.Header.Get("Authorization") != "" || r.TLS != nil) {
		if _, status, _ := h.letIn(w, r, wayOf(r)); status == 0 {
			return report
		}
	}
	h.log.Debug("readiness was asked for", "status", report.Status, "error", report.Error)
	if report.Error != "" {
		report.Error = "log in to read what fails"
	}
	report.Checks = []CheckReport{}
	return report
}
