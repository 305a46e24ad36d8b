package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/savings"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
)

// world is a proxy in a state that pages have to show.
type world struct {
	status       operate.StatusReport
	repositories []operate.RepositoryReport
	jobs         []operate.JobReport
	deltas       operate.DeltaReport
	fleet        *fleet.Report
	state        upkeep.State
	unready      error
}

// Status implements Status.
func (w *world) Status(context.Context) (operate.StatusReport, error) { return w.status, nil }

// Repositories implements Status.
func (w *world) Repositories(context.Context) ([]operate.RepositoryReport, error) {
	return w.repositories, nil
}

// Repository implements Status.
func (w *world) Repository(_ context.Context, name string) (*operate.RepositoryDetail, error) {
	for _, r := range w.repositories {
		d := detailed()
		d.RepositoryReport = r
		if r.Name == name {
			return d, nil
		}
		for _, t := range r.Tags {
			if r.Name+":"+t.Tag == name {
				d.Name, d.Tags = name, []operate.TagReport{t}
				return d, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: %s was not pulled through this proxy", operate.ErrNotFound, name)
}

// Image implements Status.
func (w *world) Image(_ context.Context, d string) (*operate.VersionDetail, error) {
	all := detailed()
	if len(w.repositories) == 0 || d != all.History[0].Digest {
		return nil, fmt.Errorf("%w: no image %s was made here", operate.ErrNotFound, d)
	}
	return &operate.VersionDetail{VersionReport: all.History[0], Family: bluefin().Name, SourceBytes: 41e8,
		SourceNewBytes: 31e8, Layers: all.Layers, Base: digest("b"), Before: digest("b"),
		Others: []operate.VersionName{{Digest: digest("b"), Reference: bluefin().Name + ":stable", Version: "42.20261123",
			Sequence: 1}},
		Dropped: []rechunk.PlanDropped{
			{Digest: "sha256:77", Name: "systemd", Size: 9e7, LiveBytes: 4e7, Why: "stale", Detail: "55 % of it is hidden"},
			{Digest: "sha256:78", Name: "firefox", Size: 2e8, Why: "hidden"}},
		Notes: []string{"the demand is not known yet"}}, nil
}

// Jobs implements Status.
func (w *world) Jobs(context.Context) []operate.JobReport { return w.jobs }

// Deltas implements Status.
func (w *world) Deltas(context.Context) operate.DeltaReport { return w.deltas }

// Update implements Updates.
func (w *world) Update(context.Context, string, string, string, bool) (*operate.Update, error) {
	return &operate.Update{Deltas: compare.Deltas{LayerBytes: 2e8, LayersNew: 3, DeltaBytes: 3e7},
		Contents: &compare.News{Unchanged: 812, CVEs: []string{"CVE-2026-1234"},
			Files: compare.FileCounts{Added: 3, Changed: 80},
			Packages: []compare.PackageChange{{Name: "glibc", Arch: "x86_64", From: "2.41-1", To: "2.41-3",
				Component: "glibc"}},
			Sources: []compare.SourceChange{{Component: "glibc", Name: "glibc", From: "2.41-1", To: "2.41-3",
				CVEs: []string{"CVE-2026-1234"},
				Log:  []compare.LogEntry{{Title: "2.41-3", Text: "- fix <script>alert(1)</script> in the resolver"}}}}}}, nil
}

// State, and what it needs beside, implement Keeper.
func (w *world) State(context.Context) (upkeep.State, error) { return w.state, nil }

// GC implements Keeper.
func (*world) GC(context.Context, upkeep.GCOptions) (out upkeep.GCReport, _ error) { return out, nil }

// Scrub implements Keeper.
func (*world) Scrub(context.Context, upkeep.ScrubOptions) (out upkeep.ScrubReport, _ error) {
	return out, nil
}

// Prune implements Keeper.
func (*world) Prune(context.Context, upkeep.PruneOptions) (out upkeep.PruneReport, _ error) {
	return out, nil
}

// detailed is a repository with many layers, of which two are new.
func detailed() *operate.RepositoryDetail {
	d := bluefin()
	d.History[0].Version, d.History[1].Version = "42.20261130.1", "42.20261123"
	d.History[0].UnkeptBytes = 4e7
	d.History[0].Pulls = operate.PullCount{Fresh: 3.1, Behind: []float64{40.2, 7, 1.1}}
	d.Layers = nil
	for i := range 72 {
		l := operate.LayerReport{Digest: fmt.Sprintf("sha256:%064d", i), Size: int64(1+(i*37)%90) * 1e6,
			Name: fmt.Sprintf("component-%d", i), Age: 1 + i%7, Kept: i < 70, Heat: float64(i%9) * float64(i%9) / 90,
			StaleShare: float64(i%5) / 20}
		if !l.Kept {
			l.Age, l.Reason, l.Name = 0, "what changed since the version before", []string{"kernel", "glibc"}[i-70]
		}
		d.Layers = append(d.Layers, l)
	}
	return d
}

// worldOf makes a proxy in one of the states that pages are tested in.
func worldOf(state string) *world {
	now := time.Now()
	w := &world{status: operate.StatusReport{Version: "1.2.3", StartedAt: now.Add(-26 * time.Hour),
		Store: operate.StoreReport{Driver: "filesystem", Location: "/var/lib/strata/data"}}}
	if state == "empty" {
		return w
	}
	w.busy(now)
	switch state {
	case "failing":
		tags := w.repositories[0].Tags
		tags[0].Served, tags[0].Failure = "stale", &operate.FailureReport{Error: "layer 3: a checksum is wrong", Tries: 3,
			RetryAt: now.Add(time.Hour)}
		tags[1].Served, tags[1].Refused = operate.Refused, "no signature by any of the 2 keys of its rule"
		w.jobs[0].State, w.jobs[0].Error = jobs.Failed, "layer 3: a checksum is wrong"
		w.state.Damaged = 2
	case "upstream down":
		w.status.Upstreams[0] = operate.UpstreamReport{Host: "ghcr.io", Breaker: "open", Failing: 5, Held: 31}
		w.status.Problems = []string{"ghcr.io is out of reach and left alone for some seconds: what is stored is served, and tags stay as they were"}
	case "full disk":
		w.status.Problems = []string{"the store is full: what is stored is served, new images pass through and are not kept"}
		w.state.UsedBytes = w.state.QuotaBytes
		w.unready = fmt.Errorf("storage: no space is left")
	case "1,000 repositories":
		for i := range 1000 {
			w.repositories = append(w.repositories, operate.RepositoryReport{Name: fmt.Sprintf("quay.io/fleet/os-%04d", i),
				Tags:        []operate.TagReport{{Tag: "stable", Digest: digest("a"), Served: "rechunked", UpdatedAt: now}},
				Versions:    8,
				UpdateBytes: int64(i) * 1e6, UpdateBytesSaved: int64(i) * 9e6,
				UpdatedAt: now.Add(-time.Duration(i) * time.Hour)})
		}
		w.status.Repositories = len(w.repositories)
	}
	return w
}

// busy is a proxy at work.
func (w *world) busy(now time.Time) {
	name := bluefin().Name
	staged := &operate.RolloutReport{Reference: name + ":stable", State: "held",
		Held: &catalog.RolloutStop{By: "kim", At: now, Reason: "bad <i>boot</i> times"},
		Versions: []operate.RolledReport{{Digest: digest("b"), SourceDigest: digest("2"), MadeAt: now.Add(-50 * time.Hour),
			Version: "42.20261123", Share: 1},
			{Digest: digest("a"), SourceDigest: digest("1"), MadeAt: now.Add(-3 * time.Hour),
				BegunAt: now.Add(-2 * time.Hour), Share: .05, Version: "42.20261130.1",
				First: []string{"10.1.0.0/16"}, NextAt: now.Add(21 * time.Hour), NextShare: new(float64)}},
		Log: []catalog.RolloutEvent{{At: now, By: "kim", Action: "hold", Note: "bad <i>boot</i> times"}}}
	repo := bluefin().RepositoryReport
	repo.Tags = []operate.TagReport{
		{Tag: "stable", SourceDigest: digest("1"), Digest: digest("a"), Served: "rechunked", CheckedAt: now,
			Version: "42.20261130.1", UpdatedAt: now.Add(-3 * time.Hour), Rollout: staged},
		{Tag: "testing", SourceDigest: digest("3"), Digest: digest("3"), Served: "original", CheckedAt: now,
			UpdatedAt: now.Add(-72 * time.Hour),
			AsItIs:    "it has a UKI that holds the digest of its own metadata"}}
	w.repositories = []operate.RepositoryReport{repo}
	w.status.Repositories, w.status.Versions = 1, 2
	w.status.UpdateBytes, w.status.UpdateBytesSaved = 4e8, 6e9
	w.status.Jobs = jobs.Counts{Running: 1, Queued: 1, Done: 41, Skipped: 2, Failed: 1}
	w.status.Store.TotalBytes, w.status.Store.ServedBytes, w.status.Store.SourceBytes = 12e9, 7e9, 5e9
	w.status.Upstreams = []operate.UpstreamReport{{Host: "ghcr.io", Breaker: "closed", Running: 3, BudgetLimit: 5000,
		BudgetRemaining: 4711}, {Host: "quay.io", Breaker: "closed"}}
	w.status.Edge = &via.Report{Deltas: 7, Whole: 2, Reasons: map[string]int64{"no seed": 2}, DeltaBytes: 3e7,
		SavedBytes: 5e8,
		Centrals: []via.CentralReport{{Host: "ghcr.io", Makes: true, Rate: 4e6},
			{Host: "quay.io", Unknown: "no route to host"}}}
	w.state = upkeep.State{UsedBytes: 12e9, QuotaBytes: 40e9, GCAt: now.Add(-9 * time.Hour),
		ScrubStartedAt: now.Add(-time.Hour)}
	w.jobs = []operate.JobReport{
		{ID: "9", Kind: operate.KindRechunk, Repository: name, Reference: "stable", Platform: "linux/amd64",
			State: jobs.Running,
			Phase: "fetch", DoneBytes: 4e8, TotalBytes: 1e9, PhaseSeconds: 20, Seconds: 21,
			StartedAt: now.Add(-21 * time.Second)},
		{ID: "10", Kind: operate.KindRechunk, Repository: name, Reference: "testing", State: jobs.Queued, StartedAt: now},
		{ID: "8", Kind: operate.KindRechunk, Repository: name, Reference: "testing", State: jobs.Skipped, Error: "a UKI",
			Seconds: 3, StartedAt: now.Add(-time.Hour)},
		{ID: "7", Kind: operate.KindRechunk, Repository: name, Reference: "stable", State: jobs.Done, Seconds: 61,
			StartedAt: now.Add(-3 * time.Hour)},
		{ID: "warm-1", Kind: operate.KindWarm, Reference: name + ":stable", State: jobs.Failed, Error: "no such tag",
			Seconds:   1,
			StartedAt: now.Add(-4 * time.Hour)}}
	w.deltas = fakeStatus{}.Deltas(context.Background())
	w.fleet = &fleet.Report{Hosts: 340, Identify: "address",
		Clients: []fleet.ClientCount{{Client: "bootc/1.1.4", Hosts: 300}, {Hosts: 40}},
		Tags: []fleet.TagReport{{Reference: name + ":stable", Hosts: 340, Current: 300, Behind: 40,
			Versions: []fleet.VersionCount{{Digest: digest("a"), Version: "42.1", Hosts: 300, LastSeen: now,
				Since: now.Add(-time.Hour)},
				{Digest: digest("b"), Version: "42.0", Lag: 1, Hosts: 40, LastSeen: now.Add(-30 * time.Hour)}}}}}
}

// options serve pages of a world.
func (w *world) options() Options {
	return Options{Status: w, Updates: w, Keeper: w, Warmer: fakeWarmer{},
		Hosts:  func() hosts.Proxy { return hosts.Proxy{Names: []string{"proxy.example:5000"}, Insecure: true} },
		Checks: []Check{{Name: "storage", Run: func(context.Context) error { return w.unready }}},
		Savings: func(_ context.Context, of string) (*savings.Report, error) {
			out := &savings.Report{}
			if of != "" && (len(w.repositories) == 0 || of != w.repositories[0].Name) {
				return out, nil
			}
			for i := range 40 {
				if len(w.repositories) > 0 && i%9 != 3 {
					out.Days = append(out.Days, catalog.SavedDay{Sent: int64(3+i%5) * 1e8, Source: int64(20+i%13) * 1e8,
						Day:   time.Date(2026, 4, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly),
						Pulls: float64(5 + i)})
					out.Sent, out.Source = out.Sent+int64(3+i%5)*1e8, out.Source+int64(20+i%13)*1e8
				}
			}
			if len(w.repositories) > 0 {
				out.Repositories = []savings.RepositoryReport{{Name: w.repositories[0].Name, Sent: out.Sent,
					Source: out.Source}}
			}
			return out, nil
		},
		Fleet: func(reference string) (*fleet.Report, error) {
			if w.fleet == nil {
				return nil, fleet.ErrOff
			}
			if reference != "" && reference != w.fleet.Tags[0].Reference {
				return nil, fleet.ErrUnknownTag
			}
			return w.fleet, nil
		}}
}
