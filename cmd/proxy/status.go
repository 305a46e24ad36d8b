package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/strata-oci/strata/proxy/edge/pairs"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Help follows the flags in strata status --help.
func (statusCommand) Help() string {
	return `Shows the totals, the repositories and the work that goes on, or one repository, tag or lineage with its versions and layers: what
updates cost, how far behind the clients were that pulled them, how old, stale and hot layers are.

    strata status
    strata status ghcr.io/ublue-os/bluefin
    strata status --all ghcr.io/ublue-os/bluefin:stable
    strata status bluefin      the family of a rule
    strata status --deltas     which deltas there are, what they take, and why others are none
    strata status --ready      for health checks: says nothing, and its exit code is 0 if the proxy can serve`
}

type statusCommand struct {
	Name   string `arg:"" optional:"" help:"A repository, tag or lineage, to show its versions and layers."`
	All    bool   `help:"Of one repository, tag or lineage show all layers of the newest version, not the new ones alone."`
	Deltas bool   `help:"Show the deltas that were made for other Stratas, and the layers that came from them."`
	Ready  bool   `help:"Only tell by the exit code whether the proxy is ready; for health checks."`
	remoteFlags
}

// statusReport is the JSON document of strata status.
type statusReport struct {
	operate.StatusReport
	List []operate.RepositoryReport `json:"repository_list"`
	Jobs []operate.JobReport        `json:"job_list"`
}

// readyTimeout bounds a health check.
const readyTimeout = 10 * time.Second

func (c *statusCommand) Run(ctx context.Context, s *streams) error {
	if c.Ready {
		ctx, stop := context.WithTimeout(ctx, readyTimeout)
		defer stop()
		return c.explain(c.client().Ready(ctx))
	}
	if c.Deltas {
		return c.deltas(ctx, s)
	}
	if c.Name != "" {
		return c.repository(ctx, s)
	}
	out, err := c.report(ctx)
	switch {
	case err != nil:
		return c.explain(err)
	case c.JSON:
		return printJSON(s.out, out)
	}
	return printStatus(s, out)
}

func (c *statusCommand) repository(ctx context.Context, s *streams) error {
	r, err := c.client().Repository(ctx, c.Name)
	switch {
	case errors.Is(err, operate.ErrNotFound):
		return fmt.Errorf("the proxy at %s has no repository %s, nor a tag or lineage of that name: strata status lists those it has", c.url(), c.Name)
	case err != nil:
		return c.explain(err)
	case c.JSON:
		return printJSON(s.out, r)
	}
	return printRepository(s, r, c.All)
}

func (c *statusCommand) report(ctx context.Context) (out *statusReport, err error) {
	out = &statusReport{}
	if out.StatusReport, err = c.client().Status(ctx); err != nil {
		return nil, err
	}
	if out.List, err = c.client().Repositories(ctx); err != nil {
		return nil, err
	}
	out.Jobs, err = c.client().Jobs(ctx)
	return out, err
}

func printStatus(s *streams, r *statusReport) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "strata\t%s, up %s\n", r.Version, time.Duration(r.UptimeSeconds*float64(time.Second)).Round(time.Second))
	for _, p := range r.Problems {
		fmt.Fprintf(w, "problem\t%s\n", p)
	}
	fmt.Fprintf(w, "store\t%s %s: %s, of which %s served layers\n",
		r.Store.Driver, r.Store.Location, size(r.Store.TotalBytes), size(r.Store.ServedBytes))
	if u := r.Upkeep; u != nil {
		fmt.Fprintf(w, "space\t%s\n", spaceNote(*u))
	}
	fmt.Fprintf(w, "images\t%s in %s\n", legible.Count(r.Versions, "version"),
		legible.Count(r.Repositories, "repository"))
	fmt.Fprintf(w, "updates\t%s sent for each client, %s saved\n", size(r.UpdateBytes), size(r.UpdateBytesSaved))
	if p := r.Pulled; p != nil {
		fmt.Fprintf(w, "pulls\t%s sent, %s of the sources\n", size(p.SentBytes), size(p.SourceBytes))
	}
	c := r.StatusReport.Jobs
	fmt.Fprintf(w, "jobs\t%d running, %d queued, %d done, %d failed, %d skipped\n", c.Running, c.Queued, c.Done, c.Failed,
		c.Skipped)
	if d := r.Deltas; d != nil {
		fmt.Fprintf(w, "deltas\t%s\n", deltaNote(*d))
	}
	if r.Edge != nil {
		printEdge(w, r.Edge)
	}
	for _, j := range r.Jobs {
		if j.State == jobs.Running {
			fmt.Fprintf(w, "\t%s:%s %s %s, %s of %s\n", j.Repository, j.Reference, j.Platform, j.Phase, size(j.DoneBytes),
				size(j.TotalBytes))
		}
	}
	if len(r.List) > 0 {
		fmt.Fprintf(w, "\nrepository\ttag\tserved\tversions\tupdated\n")
	}
	for _, repo := range r.List {
		for _, t := range repo.Tags {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", repo.Name, t.Tag, t.Served, repo.Versions, ago(t.UpdatedAt))
		}
	}
	printRefused(w, r.List)
	printAsTheyAre(w, r.List)
	printRollouts(w, r.List)
	return w.Flush()
}

// printRefused says of which tags what the upstream has is not shown, and why.
func printRefused(w io.Writer, list []operate.RepositoryReport) {
	first := true
	for _, repo := range list {
		for _, t := range repo.Tags {
			if t.Refused == "" {
				continue
			}
			if first {
				fmt.Fprintf(w, "\nrefused\twhy\n")
				first = false
			}
			fmt.Fprintf(w, "%s:%s\t%s\n", repo.Name, t.Tag, t.Refused)
		}
	}
}

// printAsTheyAre says why tags are served as they are, reason by reason.
func printAsTheyAre(w io.Writer, list []operate.RepositoryReport) {
	var reasons []string
	of := map[string][]string{}
	for _, repo := range list {
		for _, t := range repo.Tags {
			if t.AsItIs == "" {
				continue
			}
			if of[t.AsItIs] == nil {
				reasons = append(reasons, t.AsItIs)
			}
			of[t.AsItIs] = append(of[t.AsItIs], repo.Name+":"+t.Tag)
		}
	}
	if len(reasons) > 0 {
		fmt.Fprintf(w, "\nas it is\twhy\n")
	}
	for _, why := range reasons {
		tags := of[why][0]
		if more := len(of[why]) - 1; more > 0 {
			tags = fmt.Sprintf("%s and %s more", tags, humanize.Comma(int64(more)))
		}
		fmt.Fprintf(w, "%s\t%s\n", tags, why)
	}
}

// deltaNote says what is made for other Stratas.
func deltaNote(d operate.DeltaTotals) string {
	note := fmt.Sprintf("%d stored, %s of %s for layers of %s", d.Stored, size(d.Bytes), size(d.KeepBytes),
		size(d.LayerBytes))
	if d.LayerBytes > 0 {
		note += fmt.Sprintf(" (%.1f %%)", 100*float64(d.Bytes)/float64(d.LayerBytes))
	}
	note += fmt.Sprintf(", %d running, %d waiting", d.Running, d.Waiting)
	for _, reason := range slices.Sorted(maps.Keys(d.Refused)) {
		note += fmt.Sprintf(", %d refused: %s", d.Refused[reason], pairs.Why(reason))
	}
	return note
}

// spaceNote says how full the store is and when it was looked after.
func spaceNote(u upkeep.State) string {
	note := size(u.UsedBytes) + " used, no quota"
	if u.QuotaBytes > 0 {
		note = fmt.Sprintf("%s used of %s", size(u.UsedBytes), size(u.QuotaBytes))
	}
	switch {
	case u.GCAt.IsZero():
		note += ", no gc yet"
	default:
		note += ", gc " + humanize.Time(u.GCAt)
	}
	switch {
	case !u.ScrubFinishedAt.IsZero():
		note += ", scrub " + humanize.Time(u.ScrubFinishedAt)
	case !u.ScrubStartedAt.IsZero():
		note += ", scrub under way since " + humanize.Time(u.ScrubStartedAt)
	default:
		note += ", no scrub yet"
	}
	return fmt.Sprintf("%s, %d damaged", note, u.Damaged)
}
