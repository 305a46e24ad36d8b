package service

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/strata-oci/strata/proxy/admin"
)

// counts adds up the jobs since the process started.
func (j *jobs) counts() admin.JobCounts {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.ended
	for _, one := range j.running {
		one.mu.Lock()
		if one.state == admin.StateRunning {
			out.Running++
		} else {
			out.Queued++
		}
		one.mu.Unlock()
	}
	return out
}

// count notes the end of a job; the caller holds j.mu.
func (j *jobs) count(state string) {
	switch state {
	case admin.StateDone:
		j.ended.Done++
	case admin.StateSkipped:
		j.ended.Skipped++
	case admin.StateCancelled:
		j.ended.Cancelled++
	default:
		j.ended.Failed++
	}
}

// reports lists the jobs at work and those that ended lately, newest first.
func (j *jobs) reports() []admin.JobReport {
	j.mu.Lock()
	all := slices.Clone(j.recent)
	for _, one := range j.running {
		all = append(all, one)
	}
	j.mu.Unlock()
	slices.SortFunc(all, func(a, b *job) int { return cmp.Compare(b.id, a.id) })
	out := make([]admin.JobReport, len(all))
	for i, one := range all {
		out[i] = one.report(j)
	}
	return out
}

func (one *job) report(j *jobs) admin.JobReport {
	one.mu.Lock()
	defer one.mu.Unlock()
	r := admin.JobReport{
		ID: strconv.Itoa(one.id), Kind: admin.KindRechunk, Repository: one.repo.String(), Reference: string(one.ref), Platform: one.platform,
		SourceDigest: one.digest.String(), State: one.state, Phase: one.progress.Phase, DoneBytes: one.progress.Done,
		TotalBytes: one.progress.Total, StartedAt: one.started.UTC(), Seconds: one.took.Seconds(),
	}
	if one.state == admin.StateRunning {
		r.Seconds = j.s.Now().Sub(one.started).Seconds()
	}
	if one.err != nil {
		r.Error = one.err.Error()
	}
	return r
}
