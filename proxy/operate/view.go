// Package operate is the proxy as its operators see it: what it has and does, what they have it fetch ahead, and what
// they restore. Its reports are the documents of the operators' API.
package operate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/pull/tags"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk"
)

// History tells of the images that were served.
type History interface {
	Walk(ctx context.Context, family string, fn func(family string, versions []rechunk.Version) error) error
	// Lineages tells of all families and platforms, and the bytes of their layers. It reads what changed.
	Lineages(ctx context.Context) (history.Lineages, int64, error)
	Pulled(ctx context.Context, series []rechunk.Version, most int) ([]history.Pulled, error)
}

// Queue has the jobs at work and those that ended lately.
type Queue interface {
	Counts() jobs.Counts
	Reports() []jobs.Report
}

// Manifests have stored manifests.
type Manifests interface {
	Bytes(ctx context.Context, d digest.Digest) ([]byte, error)
}

// Metrics are told of sizes.
type Metrics interface {
	StoredBytes(kind metrics.StoreKind, bytes int64)
}

// Store tells where content is kept and how much there is.
type Store struct {
	Driver string
	// Location is a directory or bucket; it holds no secrets.
	Location string
	// Used is the size of all content, in bytes, as far as it is known.
	Used func() int64
	// Room is how many bytes more it takes, 0 or less when it is full; nil: nobody knows.
	Room func() int64
}

// Refusals tell of the tags of which nothing is shown.
type Refusals interface {
	Each(ctx context.Context, of catalog.Prefix[catalog.TagKey],
		fn func(key catalog.TagKey, rec *catalog.Refusal) error) error
}

// Options are what a View is made of; all are needed but for those of which it says otherwise.
type Options struct {
	// Pulled and Known have the tags and the repositories that were pulled through, Plans how images were planned.
	Pulled   *catalog.Table[catalog.TagKey, catalog.Tag]
	Known    *catalog.Table[string, catalog.Repository]
	Plans    *catalog.Table[digest.Digest, rechunk.PlanRecord]
	Refusals Refusals // nil: nothing is refused
	// Rolled has which versions of tags hosts get; nil: all get the newest.
	Rolled *catalog.Table[catalog.TagKey, catalog.Rollout]
	// Returned tells which hosts that got a version were seen again; nil: nobody knows.
	Returned tags.Returned
	// Label returns the version that an image of a repository, "host/path", calls itself, "" where that is not known; nil:
	// it never is.
	Label func(ctx context.Context, repository string, d digest.Digest) string
	// StaleSince tells since when clients get what was last known of a tag, which its record says was checked at a time;
	// zero: they do not. nil: nobody knows.
	StaleSince func(tag catalog.TagKey, checked time.Time) time.Time
	History    History
	Queue      Queue
	Manifests  Manifests
	Metrics    Metrics
	Names      name.Parser
	// Rule returns the settings of a repository, "host/path".
	Rule func(repository string) config.Rule
	// Behind reports whether a registry's images come from another Strata; nil: none do.
	Behind func(host string) bool
	// Upstreams tells how those fare.
	Upstreams func() []upstream.HostStatus
	// Redis tells how the Redis fares that replicas share; nil says that there is none.
	Redis func() *RedisReport
	// Edge tells of what comes from other Stratas; nil says that nothing does.
	Edge   func() via.Report
	Store  Store
	Deltas Deltas // nil: none are made
	// MoreJobs has jobs of other kinds than the queue's, newest first; nil: there are none.
	MoreJobs func() []JobReport
	Version  string // of the program
	Now      func() time.Time
}

// View makes reports. It is safe for concurrent use.
type View struct {
	Options
	started time.Time
	// All records of tags, repositories and roll-outs, so that no page reads them one by one.
	pulled *catalog.Summaries[catalog.TagKey, catalog.Tag, catalog.Tag]
	listed *catalog.Summaries[string, catalog.Repository, struct{}]
	rolled *catalog.Summaries[catalog.TagKey, catalog.Rollout, *catalog.Rollout] // nil where all hosts get the newest
}

// NewView returns a view of a proxy that starts now.
func NewView(o Options) *View {
	v := &View{Options: o, started: o.Now(),
		pulled: catalog.NewSummaries(o.Pulled, time.Now, func(_ catalog.TagKey, t *catalog.Tag) catalog.Tag { return *t }),
		listed: catalog.NewSummaries(o.Known, time.Now, func(string, *catalog.Repository) struct{} { return struct{}{} }),
	}
	v.pulled.Shelve("tag 1")
	v.listed.Shelve("repository 1")
	if o.Rolled != nil {
		v.rolled = catalog.NewSummaries(o.Rolled, time.Now,
			func(_ catalog.TagKey, r *catalog.Rollout) *catalog.Rollout { return r })
		v.rolled.Shelve("rollout 1")
	}
	return v
}

// Keep has the next process begin with what is remembered of all tags, repositories and roll-outs. It finds out all that
// pages show of them.
func (v *View) Keep(ctx context.Context) error {
	_, err := v.Repositories(ctx)
	err = errors.Join(err, v.pulled.Keep(ctx), v.listed.Keep(ctx))
	if v.rolled != nil {
		err = errors.Join(err, v.rolled.Keep(ctx))
	}
	return err
}

// Status returns the totals.
func (v *View) Status(ctx context.Context) (StatusReport, error) {
	out := StatusReport{
		Version: v.Version, StartedAt: v.started.UTC(), UptimeSeconds: v.Now().Sub(v.started).Seconds(),
		Jobs:      v.Queue.Counts(),
		Upstreams: upstreamReports(v.Upstreams()), Store: StoreReport{Driver: v.Store.Driver, Location: v.Store.Location},
	}
	out.Deltas = v.deltaTotals()
	if v.Redis != nil {
		out.Redis = v.Redis()
	}
	if v.Edge != nil {
		edge := v.Edge()
		out.Edge = &edge
	}
	repositories, err := v.names(ctx)
	if err != nil {
		return out, err
	}
	out.Repositories = len(repositories)
	lineages, served, err := v.History.Lineages(ctx)
	if err != nil {
		return out, err
	}
	for _, l := range lineages {
		update, saved := history.Sum(l.Of)
		out.Versions += len(l.Of.Versions)
		out.Store.LargestBytes = max(out.Store.LargestBytes, l.Of.Newest)
		out.UpdateBytes, out.UpdateBytesSaved = out.UpdateBytes+update, out.UpdateBytesSaved+saved
	}
	out.Store.ServedBytes = served
	out.Store.TotalBytes = v.Store.Used()
	out.Store.SourceBytes = max(out.Store.TotalBytes-out.Store.ServedBytes, 0)
	out.Problems = v.problems(out)
	v.Metrics.StoredBytes(metrics.StoreServed, out.Store.ServedBytes)
	v.Metrics.StoredBytes(metrics.StoreSource, out.Store.SourceBytes)
	return out, nil
}

func upstreamReports(all []upstream.HostStatus) []UpstreamReport {
	var out []UpstreamReport
	for _, u := range all {
		out = append(out, UpstreamReport{
			Host: u.Host, Breaker: u.State, Failing: u.Failing, PausedUntil: u.PausedUntil.UTC(), Running: u.Running,
			Held:        u.Held,
			BudgetLimit: u.Budget.Limit, BudgetRemaining: u.Budget.Remaining, BudgetLow: u.Budget.Low,
		})
	}
	return out
}

// Repositories returns all repositories, sorted by name.
func (v *View) Repositories(ctx context.Context) ([]RepositoryReport, error) {
	names, err := v.names(ctx)
	if err != nil {
		return nil, err
	}
	tags, err := v.tags(ctx, "")
	if err != nil {
		return nil, err
	}
	lineages, _, err := v.History.Lineages(ctx)
	if err != nil {
		return nil, err
	}
	families := map[string][]history.Lineage{}
	for _, l := range lineages {
		families[l.Key.Lineage] = append(families[l.Key.Lineage], l.Of)
	}
	out := make([]RepositoryReport, len(names))
	for i, repo := range names {
		out[i] = v.repositoryReport(repo, tags[repo], families[v.Rule(repo).Family]...)
	}
	return out, nil
}

// tags reports the tags of one repository, or of all where that is empty, by repository. Tags under which signatures and the
// like are kept are none that anybody pulls an image by: they are left out. Of one repository it tells versions, too.
func (v *View) tags(ctx context.Context, only string) (map[string][]TagReport, error) {
	out := map[string][]TagReport{}
	staged, err := v.staged(ctx, only)
	if err != nil {
		return nil, err
	}
	var of catalog.Prefix[catalog.TagKey]
	if only != "" {
		of = catalog.TagsOf(only)
	}
	err = v.eachTag(ctx, of, only, func(key catalog.TagKey, rec *catalog.Tag) error {
		if name.Reference(key.Tag).AboutImage() {
			return nil
		}
		report := v.aged(key, tagReport(key, rec))
		if only != "" {
			report.Version = v.label(ctx, key.Repository, report.Digest)
		}
		if rec.Staged {
			var err error
			if report.Rollout, err = v.rollout(ctx, key, rec, staged, only != ""); err != nil {
				return err
			}
		}
		out[key.Repository] = append(out[key.Repository], report)
		return nil
	})
	if err != nil || v.Refusals == nil {
		return out, err
	}
	return out, v.Refusals.Each(ctx, of, func(key catalog.TagKey, rec *catalog.Refusal) error {
		if name.Reference(key.Tag).AboutImage() {
			return nil
		}
		out[key.Repository] = withRefusal(out[key.Repository], key.Tag, rec)
		return nil
	})
}

// label is the version that an image of a repository calls itself.
func (v *View) label(ctx context.Context, repository, d string) string {
	if v.Label == nil || d == "" {
		return ""
	}
	return v.Label(ctx, repository, digest.Digest(d))
}

// aged has a tag's report say that clients get it unchecked, of which its record does not tell.
func (v *View) aged(key catalog.TagKey, t TagReport) TagReport {
	if v.StaleSince == nil {
		return t
	}
	if t.StaleSince = v.StaleSince(key, t.CheckedAt); !t.StaleSince.IsZero() {
		t.Served = string(registry.Stale)
	}
	return t
}

// eachTag calls fn with the tags whose keys begin with of, in ascending order. Of all tags only those are read that changed.
func (v *View) eachTag(ctx context.Context, of catalog.Prefix[catalog.TagKey], only string,
	fn func(catalog.TagKey, *catalog.Tag) error) error {
	if only != "" {
		return v.Pulled.Each(ctx, of, fn)
	}
	all, err := v.pulled.All(ctx)
	for i := range all {
		if err := fn(all[i].Key, &all[i].Of); err != nil {
			return err
		}
	}
	return err
}

// tagReport is what a tag's record says of it.
func tagReport(key catalog.TagKey, rec *catalog.Tag) TagReport {
	out := TagReport{
		Tag: key.Tag, SourceDigest: rec.SourceDigest.String(), Digest: rec.Digest.String(), Served: string(tags.Served(rec)),
		CheckedAt: rec.CheckedAt, UpdatedAt: rec.UpdatedAt, AsItIs: rec.AsItIs,
	}
	switch f := rec.Failure; {
	case f != nil && f.Refused:
		out.Refused = f.Error
	case f != nil:
		out.Failure = &FailureReport{f.Source.String(), f.Error, f.Tries, f.RetryAt}
	}
	return out
}

// withRefusal puts a tag of which nothing is shown among sorted reports. One whose record is newer is shown again.
func withRefusal(reports []TagReport, tag string, rec *catalog.Refusal) []TagReport {
	i, found := slices.BinarySearchFunc(reports, tag,
		func(r TagReport, tag string) int { return strings.Compare(r.Tag, tag) })
	switch {
	case !found:
		reports = slices.Insert(reports, i, TagReport{Tag: tag, SourceDigest: rec.Source.String()})
	case reports[i].CheckedAt.After(rec.CheckedAt):
		return reports
	}
	reports[i].Served, reports[i].Refused, reports[i].CheckedAt = Refused, rec.Reason, rec.CheckedAt
	reports[i].StaleSince = time.Time{}
	return reports
}

// names returns the names of the repositories that were pulled through, sorted.
func (v *View) names(ctx context.Context) ([]string, error) {
	all, err := v.listed.All(ctx)
	out := make([]string, len(all))
	for i, repo := range all {
		out[i] = repo.Key
	}
	return out, err
}

func (v *View) repositoryReport(repo string, tags []TagReport, lineages ...history.Lineage) RepositoryReport {
	out := RepositoryReport{Name: repo, Tags: tags}
	if host, _, _ := strings.Cut(repo, "/"); v.Behind != nil {
		out.Via = v.Behind(host)
	}
	for _, l := range lineages {
		out.Versions += len(l.Versions)
	}
	out.UpdateBytes, out.UpdateBytesSaved = history.Sum(lineages...)
	for _, t := range tags {
		if t.UpdatedAt.After(out.UpdatedAt) {
			out.UpdatedAt = t.UpdatedAt
		}
	}
	return out
}

// Jobs returns the running jobs and those that ended lately, newest first.
func (v *View) Jobs(context.Context) []JobReport {
	all := v.Queue.Reports()
	out := make([]JobReport, len(all))
	for i, j := range all {
		out[i] = JobReport{
			ID: j.ID, Kind: KindRechunk, Repository: j.Repository, Reference: j.Reference, Platform: j.Platform,
			SourceDigest: j.SourceDigest, State: j.State, Phase: j.Phase, DoneBytes: j.DoneBytes, TotalBytes: j.TotalBytes,
			PhaseSeconds: j.PhaseSeconds, StartedAt: j.StartedAt, Seconds: j.Seconds, Error: j.Error,
		}
	}
	if v.MoreJobs != nil {
		out = append(out, v.MoreJobs()...)
		slices.SortStableFunc(out, func(a, b JobReport) int { return b.StartedAt.Compare(a.StartedAt) })
	}
	return out
}
