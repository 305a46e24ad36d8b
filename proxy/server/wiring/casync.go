package wiring

import (
	"runtime"
	"time"

	"github.com/strata-oci/strata/proxy/casync/chunks"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/state"
)

// casync makes the room that serves images as chunks.
func (r *Rooms) casync(o Options, manifests *content.Manifests, store *state.Store) {
	r.Casync = chunks.New(chunks.Options{
		Settings: func() chunks.Settings {
			if o.Casync == nil {
				return chunks.Settings{}
			}
			s := o.Casync()
			return chunks.Settings{On: s.Serve, Sizes: s.Sizes(), Keep: int64(s.Keep),
				Always: s.Ahead == config.AheadAlways}
		},
		Images: r.Images, Manifests: manifests, Proofs: r.proofs, Chunks: o.Chunks, Content: store, Records: r.Records,
		Work: r.Work, Leases: o.Leases, Parallel: max(runtime.GOMAXPROCS(0), 4), Logger: o.Logger, Metrics: o.Metrics,
		Now: o.Now,
	})
}

// chunkJobs are the images that are cut into chunks, as operators see jobs.
func (r *Rooms) chunkJobs(now func() time.Time) func() []operate.JobReport {
	return func() (out []operate.JobReport) {
		for _, j := range r.Casync.Jobs() {
			report := operate.JobReport{ID: j.ID, Kind: operate.KindChunks, Repository: j.Key.Repository,
				Reference: j.Key.Digest.String(), State: jobs.Queued,
				DoneBytes: j.Done, TotalBytes: j.Total, StartedAt: j.Begun}
			ended := j.Ended
			switch {
			case j.Running:
				report.State, report.Phase = jobs.Running, "cut into chunks"
			case ended.IsZero():
			case j.Err != nil:
				report.State, report.Error = jobs.Failed, j.Err.Error()
			default:
				report.State = jobs.Done
			}
			if ended.IsZero() {
				ended = now()
			}
			report.Seconds = ended.Sub(j.Begun).Seconds()
			out = append(out, report)
		}
		return out
	}
}
