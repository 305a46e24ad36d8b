package pages

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

// overview is the first page. Its lists are cut, so that it stays short however much there is; what is left out is counted.
type overview struct {
	Status    *operate.StatusReport
	Problems  shortened[problem]
	Rollouts  shortened[*rollout]
	Running   shortened[job]
	Upstreams shortened[upstream]
	Source    int64      // what updates would have cost
	Hosts     *hostCount // nil where they are not counted
	Saved     *saved     // nil where nothing was pulled yet
}

// shownRows is how many rows a list of the overview has.
const shownRows = 20

// shortened is the beginning of a list.
type shortened[T any] struct {
	List []T
	More int // that are left out
}

// shorten cuts a list, the most urgent of which comes first.
func shorten[T any](all []T, most int) shortened[T] {
	n := min(len(all), most)
	return shortened[T]{all[:n], len(all) - n}
}

// problem is something that is wrong, with a page that tells more.
type problem struct{ Text, Link string }

// hostCount are the hosts of all tags.
type hostCount struct{ Hosts, Behind int }

// maxProblems is how many tags of one kind of trouble the overview lists.
const maxProblems = 10

func (h *Handler) overview(ctx context.Context, r *http.Request, s *operate.StatusReport) (*view, error) {
	all, err := h.Reports.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	most := shownRows
	if r.URL.Query().Get("all") == "1" { // of the lists that no other page has
		most = max(len(s.Upstreams), len(s.Problems)+2*maxProblems+3)
	}
	o := &overview{Status: s, Problems: shorten(problemsOf(s, all), most), Rollouts: shorten(rolloutsOf(all), shownRows),
		Upstreams: shorten(upstreamsOf(s.Upstreams, h.Now()), most), Source: s.UpdateBytes + s.UpdateBytesSaved}
	var running []job
	for _, j := range h.Jobs(ctx) {
		if j.State == jobs.Running || j.State == jobs.Queued {
			running = append(running, jobOf(j))
		}
	}
	linked(all, running)
	sortJobs(running)
	count(&s.Jobs, running)
	o.Running = shorten(running, shownRows)
	if o.Saved, _, err = h.savedBy(ctx, ""); err != nil {
		return nil, err
	}
	if f, err := h.Fleet(""); err == nil {
		o.Hosts = countHosts(f)
	}
	return &view{template: "overview", title: "Overview", section: "overview", body: o}, nil
}

// rolloutsOf lists the roll-outs under way: first those that wait for an operator, then by when their next step comes.
func rolloutsOf(all []operate.RepositoryReport) []*rollout {
	var out []*rollout
	for _, repo := range all {
		for _, t := range repo.Tags {
			if underWay(t) {
				out = append(out, rolloutOf(t.Rollout))
			}
		}
	}
	waits := func(r *rollout) int {
		switch {
		case r.Bad:
			return 0
		case r.Newest.NextAt.IsZero():
			return 2
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b *rollout) int {
		return cmp.Or(waits(a)-waits(b), a.Newest.NextAt.Compare(b.Newest.NextAt))
	})
	return out
}

// underWay says whether a tag's newest version is still being rolled out.
func underWay(t operate.TagReport) bool { return t.Rollout != nil && t.Rollout.State != "complete" }

// upstream is a registry with how it fares. An outage is never shown as if all were well.
type upstream struct {
	operate.UpstreamReport
	Class, State string
}

// upstreamsOf lists upstreams, those that fare worst first.
func upstreamsOf(all []operate.UpstreamReport, now time.Time) []upstream {
	var out []upstream
	for _, u := range all {
		out = append(out, upstreamOf(u, now))
	}
	worst := []string{"bad", "warn", "good"}
	slices.SortStableFunc(out, func(a, b upstream) int {
		return slices.Index(worst, a.Class) - slices.Index(worst, b.Class)
	})
	return out
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
			link := pageOf(name)
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
