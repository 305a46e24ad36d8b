package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/upkeep"
)

// maxName bounds the name of a repository in a path, in bytes. The longest that a registry takes are shorter.
const maxName = 512

func (h *Handler) getStatus(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	report, err := h.statusReport(ctx)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, report)
}

// statusReport returns the totals with how the store is kept and what pulls took.
func (h *Handler) statusReport(ctx context.Context) (operate.StatusReport, error) {
	report, err := h.status.Status(ctx)
	if err == nil && h.keeper != nil {
		var state upkeep.State
		state, err = h.keeper.State(ctx)
		report.Upkeep = &state
	}
	if err != nil || h.savings == nil {
		return report, err
	}
	saved, err := h.savings(ctx, "")
	if err == nil && len(saved.Days) > 0 {
		report.Pulled = &operate.PulledReport{SentBytes: saved.Sent, SourceBytes: saved.Source}
	}
	return report, err
}

func (h *Handler) getRepositories(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	reports, err := h.status.Repositories(ctx)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	list := RepositoryList{Repositories: notNil(reports)}
	for i := range list.Repositories {
		list.Repositories[i].Tags = notNil(list.Repositories[i].Tags)
	}
	writeJSON(w, http.StatusOK, list)
}

func (h *Handler) getRepository(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if name == "" || len(name) > maxName {
		writeError(w, http.StatusNotFound, "there is no such repository")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	detail, err := h.status.Repository(ctx, name)
	switch {
	case errors.Is(err, operate.ErrNotFound), err == nil && detail == nil:
		writeError(w, http.StatusNotFound, "there is no such repository")
		return
	case err != nil:
		h.fail(w, r, err)
		return
	}
	answer := *detail
	answer.Tags, answer.History, answer.Layers = notNil(answer.Tags), notNil(answer.History), notNil(answer.Layers)
	writeJSON(w, http.StatusOK, answer)
}

func (h *Handler) getJobs(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	writeJSON(w, http.StatusOK, JobList{Jobs: notNil(h.jobReports(ctx))})
}

// jobReports returns the jobs at work and those that ended lately, those of warming last.
func (h *Handler) jobReports(ctx context.Context) []operate.JobReport {
	var jobs []operate.JobReport
	for _, job := range h.status.Jobs(ctx) {
		if job.Kind == "" {
			job.Kind = operate.KindRechunk
		}
		jobs = append(jobs, job)
	}
	if h.warm != nil {
		jobs = append(jobs, h.warm.reports()...)
	}
	return jobs
}

func (h *Handler) getDeltas(w http.ResponseWriter, r *http.Request) {
	report := h.status.Deltas(r.Context())
	report.Deltas = notNil(report.Deltas)
	writeJSON(w, http.StatusOK, report)
}

// fail answers with an error of the proxy's own. Operators may read it whole.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // who asked has left
	}
	h.log.Error("admin request failed", "path", r.URL.Path, "error", err)
	status := http.StatusInternalServerError
	if errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	writeError(w, status, err.Error())
}

// notNil makes a list that is empty an empty list in JSON.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
