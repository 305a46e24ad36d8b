package pages

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

// jobList is the page of what is at work and what failed.
type jobList struct {
	Counts            jobs.Counts
	Running, Ended    []job
	Refused, Failures []failure
}

// job is a piece of work with what its numbers say.
type job struct {
	operate.JobReport
	What    string
	Link    string // of the tag
	Class   string // of how it stands
	Outcome string
	Known   bool // how much there is to do in this phase
	Percent float64
	Rate    int64         // bytes a second in this phase; 0 while unknown
	Left    time.Duration // of this phase; 0 while unknown
}

// failure is a tag of which something could not be had. Records have it, so that it is told after a restart, too.
type failure struct {
	Reference, Link, Error string
	Retry                  *operate.FailureReport // nil for what was refused
	Served                 string
}

// leastRate is how long a phase has to last before its rate says anything.
const leastRate = 2.0

func (h *Handler) jobs(ctx context.Context, _ *http.Request, s *operate.StatusReport) (*view, error) {
	all, err := h.Reports.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	p := &jobList{Counts: s.Jobs}
	for _, j := range h.Jobs(ctx) {
		if j.State == jobs.Running || j.State == jobs.Queued {
			p.Running = append(p.Running, jobOf(j))
		} else {
			p.Ended = append(p.Ended, jobOf(j))
		}
	}
	linked(all, p.Running, p.Ended)
	sortJobs(p.Running)
	count(&p.Counts, p.Running)
	slices.SortStableFunc(p.Ended, func(a, b job) int { return b.endedAt().Compare(a.endedAt()) })
	for _, repo := range all {
		for _, t := range repo.Tags {
			name := repo.Name + ":" + t.Tag
			f := failure{Reference: name, Link: pageOf(name), Served: t.Served}
			switch {
			case t.Refused != "":
				f.Error = t.Refused
				p.Refused = append(p.Refused, f)
			case t.Failure != nil:
				f.Error, f.Retry = t.Failure.Error, t.Failure
				p.Failures = append(p.Failures, f)
			}
		}
	}
	return &view{template: "jobs", title: "Jobs", section: "jobs", body: p}, nil
}

// linked leaves the links to tags that have a page: of a first pull, and of what the store has no room for, none is known.
func linked(all []operate.RepositoryReport, lists ...[]job) {
	known := map[string]bool{} // only of links that are there: of most tags nothing is at work
	for _, list := range lists {
		for _, j := range list {
			known[j.Link] = false
		}
	}
	if len(known) == 0 {
		return
	}
	for _, repo := range all {
		for _, t := range repo.Tags {
			link := pageOf(repo.Name + ":" + t.Tag)
			if _, wanted := known[link]; wanted {
				known[link] = true
			}
		}
	}
	for _, list := range lists {
		for i := range list {
			if !known[list[i].Link] {
				list[i].Link = ""
			}
		}
	}
}

// sortJobs has those that run come before those that wait.
func sortJobs(all []job) {
	waits := func(j job) int {
		if j.State == jobs.Queued {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b job) int { return waits(a) - waits(b) })
}

// count counts what is at work and waits as it is listed: pulling ahead is part of it.
func count(c *jobs.Counts, all []job) {
	c.Running, c.Queued = 0, 0
	for _, j := range all {
		if j.State == jobs.Queued {
			c.Queued++
		} else {
			c.Running++
		}
	}
}

// endedAt is when a job ended that did.
func (j *job) endedAt() time.Time {
	return j.StartedAt.Add(time.Duration(j.Seconds * float64(time.Second)))
}

// jobOf says how a job stands. One that has ended has an outcome and no phase, but for what failed: that failed somewhere.
func jobOf(r operate.JobReport) job {
	j := job{JobReport: r, What: r.Reference}
	if r.Repository != "" {
		j.What = r.Repository
		if r.Reference != "" {
			separator := ":"
			if len(r.Reference) > 7 && r.Reference[:7] == "sha256:" {
				separator = "@"
			} else {
				j.Link = pageOf(r.Repository + ":" + r.Reference)
			}
			j.What += separator + r.Reference
		}
	}
	if r.Kind == operate.KindWarm && r.State == jobs.Done && !strings.Contains(r.Reference, "@") {
		j.Link = pageOf(r.Reference)
	}
	if j.What == "" {
		j.What = r.ID
	}
	switch r.State {
	case jobs.Running:
		j.Class, j.Outcome = "busy", "running"
		j.progress()
	case jobs.Queued:
		j.Class, j.Outcome = "quiet", "waits"
	case jobs.Done:
		j.Class, j.Outcome = "good", "done"
	case jobs.Skipped:
		j.Class, j.Outcome = "quiet", "served as it is"
	case jobs.Cancelled:
		j.Class, j.Outcome = "quiet", "stopped"
	case jobs.Failed:
		j.Class, j.Outcome = "bad", "failed"
		if r.Phase != "" {
			j.Outcome += " at " + r.Phase
		}
	}
	return j
}

// progress works out the rate of a job that runs, and how long its phase takes.
func (j *job) progress() {
	if j.TotalBytes > 0 {
		j.Known, j.Percent = true, min(100, 100*float64(j.DoneBytes)/float64(j.TotalBytes))
	}
	if j.PhaseSeconds < leastRate || j.DoneBytes <= 0 {
		return
	}
	j.Rate = int64(float64(j.DoneBytes) / j.PhaseSeconds)
	if left := j.TotalBytes - j.DoneBytes; left > 0 && j.Rate > 0 {
		j.Left = time.Duration(float64(left) / float64(j.Rate) * float64(time.Second))
	}
}
