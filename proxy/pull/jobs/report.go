package jobs

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// Counts count jobs: those at work and waiting now, and those that ended since the process started.
type Counts struct {
	Running   int   `json:"running"`
	Queued    int   `json:"queued"`
	Done      int64 `json:"done"`
	Failed    int64 `json:"failed"`
	Skipped   int64 `json:"skipped"`
	Cancelled int64 `json:"cancelled"`
}

// count notes the end of a job.
func (c *Counts) count(s State) {
	switch s {
	case Done:
		c.Done++
	case Skipped:
		c.Skipped++
	case Cancelled:
		c.Cancelled++
	default:
		c.Failed++
	}
}

// Report tells of a job.
type Report struct {
	ID           string
	Repository   string // host/path
	Reference    string // tag or digest that was asked for first
	Platform     string // as an index says it; empty for an image without one
	SourceDigest string
	State        State
	// Phase is the engine's, of a job that runs or failed; DoneBytes and TotalBytes are how far it is in it. The total is 0
	// when unknown.
	Phase      string
	DoneBytes  int64
	TotalBytes int64
	// PhaseSeconds is how long a job that runs has been in its phase.
	PhaseSeconds float64
	StartedAt    time.Time
	Seconds      float64 // of the work so far, or in all
	Error        string
}

// Counts adds up the jobs since the process started.
func (q *Queue) Counts() Counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.ended
	for _, j := range q.running {
		j.mu.Lock()
		if j.state == Running {
			out.Running++
		} else {
			out.Queued++
		}
		j.mu.Unlock()
	}
	return out
}

// Reports lists the jobs at work and those that ended lately, newest first.
func (q *Queue) Reports() []Report {
	q.mu.Lock()
	all := slices.Clone(q.recent)
	for _, j := range q.running {
		all = append(all, j)
	}
	q.mu.Unlock()
	slices.SortFunc(all, func(a, b *job) int { return cmp.Compare(b.id, a.id) })
	out := make([]Report, len(all))
	for i, j := range all {
		out[i] = j.report(q.Now())
	}
	return out
}

func (j *job) report(now time.Time) Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := Report{
		ID: strconv.Itoa(j.id), Repository: j.repo.String(), Reference: string(j.ref), Platform: j.platform,
		SourceDigest: j.digest.String(), State: j.state, Phase: j.progress.Phase, DoneBytes: j.progress.Done,
		TotalBytes: j.progress.Total, StartedAt: j.started.UTC(), Seconds: j.took.Seconds(),
	}
	switch j.state {
	case Running:
		r.Seconds = now.Sub(j.started).Seconds()
		if !j.phaseBegan.IsZero() {
			r.PhaseSeconds = max(0, now.Sub(j.phaseBegan).Seconds())
		}
	case Failed: // the phase says where
	default:
		r.Phase, r.DoneBytes, r.TotalBytes = "", 0, 0
	}
	if j.err != nil {
		r.Error = j.err.Error()
	}
	return r
}
