package pages

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

// overview is the first page.
type overview struct {
	Status    *operate.StatusReport
	Problems  []problem
	Rollouts  []*rollout
	Running   []job
	Upstreams []upstream
	Source    int64      // what updates would have cost
	Hosts     *hostCount // nil where they are not counted
	Saved     *saved     // nil where nothing was pulled yet
}

// problem is something that is wrong, with a page that tells more.
type problem struct{ Text, Link string }

// hostCount are the hosts of all tags.
type hostCount struct{ Hosts, Behind int }

// maxProblems is how many tags of one kind of trouble the overview lists.
const maxProblems = 10

func (h *Handler) overview(ctx context.Context, _ *http.Request, s *operate.StatusReport) (*view, error) {
	all, err := h.Reports.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	o := &overview{Status: s, Problems: problemsOf(s, all), Source: s.UpdateBytes + s.UpdateBytesSaved}
	for _, u := range s.Upstreams {
		o.Upstreams = append(o.Upstreams, upstreamOf(u, h.Now()))
	}
	for _, repo := range all {
		for _, t := range repo.Tags {
			if t.Rollout != nil && t.Rollout.State != "complete" {
				o.Rollouts = append(o.Rollouts, rolloutOf(t.Rollout))
			}
		}
	}
	// Those that wait for an operator come first.
	slices.SortStableFunc(o.Rollouts, func(a, b *rollout) int {
		switch {
		case a.Bad && !b.Bad:
			return -1
		case b.Bad && !a.Bad:
			return 1
		}
		return 0
	})
	for _, j := range h.Jobs(ctx) {
		if j.State == jobs.Running || j.State == jobs.Queued {
			o.Running = append(o.Running, jobOf(j))
		}
	}
	sortJobs(o.Running)
	count(&s.Jobs, o.Running)
	if o.Saved, _, err = h.savedBy(ctx, ""); err != nil {
		return nil, err
	}
	if f, err := h.Fleet(""); err == nil {
		o.Hosts = countHosts(f)
	}
	return &view{template: "overview", title: "Overview", section: "overview", body: o}, nil
}

// upstream is a registry with how it fares. An outage is never shown as if all were well.
type upstream struct {
	operate.UpstreamReport
	Class, State string
}

func upstreamOf(u operate.UpstreamReport, now time.Time) upstream {
	out := upstream{u, "good", "answers"}
	switch {
	case u.Breaker == "open":
		out.Class, out.State = "bad", "out of reach, left alone for some seconds"
	case u.Breaker == "half-open":
		out.Class, out.State = "bad", "was out of reach, the next request tries again"
	case u.Failing > 0:
		out.Class, out.State = "warn", plural(u.Failing, "request")+" in a row without an answer"
	case u.PausedUntil.After(now):
		out.Class, out.State = "warn", "limits the rate until "+u.PausedUntil.Format(time.TimeOnly)+" UTC"
	case u.BudgetLow:
		out.Class, out.State = "warn", "grants few requests: tags are not refreshed"
	}
	return out
}

func countHosts(f *fleet.Report) *hostCount {
	out := &hostCount{Hosts: f.Hosts}
	for _, t := range f.Tags {
		out.Behind += t.Behind
	}
	return out
}

// problemsOf lists what is wrong, the worst first: the proxy's, then those of tags.
func problemsOf(s *operate.StatusReport, all []operate.RepositoryReport) []problem {
	var out []problem
	for _, p := range s.Problems {
		out = append(out, problem{Text: p})
	}
	if s.Upkeep != nil && s.Upkeep.Damaged > 0 {
		out = append(out, problem{Text: plural(s.Upkeep.Damaged, "stored object") +
			" found damaged by the last scrub: what upstreams still have is fetched again when it is asked for"})
	}
	refused, failing := trouble(all)
	return append(append(out, few(refused, "are refused")...), few(failing, "could not be rechunked")...)
}

// trouble lists the tags of which something is not shown, and those that could not be rechunked.
func trouble(all []operate.RepositoryReport) (refused, failing []problem) {
	for _, repo := range all {
		for _, t := range repo.Tags {
			name := repo.Name + ":" + t.Tag
			link := "/repositories/" + escapePath(name)
			switch {
			case t.Refused != "":
				refused = append(refused, problem{name + " is refused: " + t.Refused, link})
			case t.Failure != nil:
				failing = append(failing, problem{name + " could not be rechunked: " + firstLine(t.Failure.Error), link})
			}
		}
	}
	return refused, failing
}

// few shortens a list of problems.
func few(all []problem, what string) []problem {
	if len(all) <= maxProblems {
		return all
	}
	return append(all[:maxProblems:maxProblems],
		problem{plural(len(all)-maxProblems, "more tag") + " " + what, "/jobs#failures"})
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
