package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/strata-oci/strata/proxy/admin"
)

// remoteFlags are common to the commands that talk to a running proxy.
type remoteFlags struct {
	Admin string `help:"Address of the proxy's admin listener." default:"http://127.0.0.1:5001" env:"STRATA_ADMIN_URL" placeholder:"URL"`
	JSON  bool   `help:"Print a JSON document."`
}

func (f remoteFlags) client() *admin.Client {
	base := f.Admin
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	return admin.NewClient(base, nil)
}

type warmCommand struct {
	References []string `arg:"" name:"ref" help:"Images, as in ghcr.io/ublue-os/bluefin:stable."`
	NoWait     bool     `help:"Return at once; strata status shows how it goes on."`
	remoteFlags
}

// warmReport is a line of strata warm --json.
type warmReport struct {
	References []admin.WarmEvent `json:"references"`
}

func (c *warmCommand) Run(ctx context.Context, s *streams) error {
	if c.NoWait {
		jobs, err := c.client().Enqueue(ctx, c.References)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, admin.WarmAccepted{Jobs: jobs})
		}
		for _, j := range jobs {
			fmt.Fprintf(s.out, "job %s: %s\n", j.ID, j.Reference)
		}
		return nil
	}
	b := newBars(s.err)
	report := warmReport{References: []admin.WarmEvent{}}
	err := c.client().Warm(ctx, c.References, func(e admin.WarmEvent) {
		if !e.Final() {
			b.update(e.Phase, e.DoneBytes, e.TotalBytes)
			return
		}
		report.References = append(report.References, e)
	})
	b.close()
	if err != nil && len(report.References) == 0 {
		return err
	}
	return c.print(s, report)
}

func (c *warmCommand) print(s *streams, report warmReport) error {
	failed := false
	for _, e := range report.References {
		failed = failed || e.State != admin.StateDone
		if c.JSON {
			continue
		}
		fmt.Fprintf(s.out, "%s: %s", e.Reference, e.State)
		if e.Error != "" {
			fmt.Fprintf(s.out, ": %s", e.Error)
		}
		fmt.Fprintln(s.out)
	}
	if c.JSON {
		if err := printJSON(s.out, report); err != nil {
			return err
		}
	}
	if failed {
		return errFailed
	}
	return nil
}

type statusCommand struct {
	Name  string `arg:"" optional:"" help:"A repository, to show its versions and layers."`
	Ready bool   `help:"Only tell by the exit code whether the proxy is ready; for health checks."`
	remoteFlags
}

// statusReport is the JSON document of strata status.
type statusReport struct {
	admin.StatusReport
	List []admin.RepositoryReport `json:"repository_list"`
	Jobs []admin.JobReport        `json:"job_list"`
}

// readyTimeout bounds a health check.
const readyTimeout = 10 * time.Second

func (c *statusCommand) Run(ctx context.Context, s *streams) error {
	if c.Ready {
		ctx, stop := context.WithTimeout(ctx, readyTimeout)
		defer stop()
		return c.client().Ready(ctx)
	}
	if c.Name != "" {
		r, err := c.client().Repository(ctx, c.Name)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, r)
		}
		return printRepository(s, r)
	}
	var out statusReport
	var err error
	if out.StatusReport, err = c.client().Status(ctx); err != nil {
		return err
	}
	if out.List, err = c.client().Repositories(ctx); err != nil {
		return err
	}
	if out.Jobs, err = c.client().Jobs(ctx); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, out)
	}
	return printStatus(s, &out)
}

func printStatus(s *streams, r *statusReport) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "strata\t%s, up %s\n", r.Version, time.Duration(r.UptimeSeconds*float64(time.Second)).Round(time.Second))
	fmt.Fprintf(w, "store\t%s %s: %s, of which %s served layers\n", r.Store.Driver, r.Store.Location, size(r.Store.TotalBytes), size(r.Store.ServedBytes))
	fmt.Fprintf(w, "images\t%d versions in %d repositories\n", r.Versions, r.Repositories)
	fmt.Fprintf(w, "updates\t%s sent for each client, %s saved\n", size(r.UpdateBytes), size(r.UpdateBytesSaved))
	c := r.StatusReport.Jobs
	fmt.Fprintf(w, "jobs\t%d running, %d queued, %d done, %d failed, %d skipped\n", c.Running, c.Queued, c.Done, c.Failed, c.Skipped)
	for _, j := range r.Jobs {
		if j.State == admin.StateRunning {
			fmt.Fprintf(w, "\t%s:%s %s %s, %s of %s\n", j.Repository, j.Reference, j.Platform, j.Phase, size(j.DoneBytes), size(j.TotalBytes))
		}
	}
	if len(r.List) > 0 {
		fmt.Fprintf(w, "\nrepository\ttag\tserved\tversions\tupdated\n")
	}
	for _, repo := range r.List {
		for _, t := range repo.Tags {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", repo.Name, t.Tag, t.Served, repo.Versions, humanize.Time(t.UpdatedAt))
		}
	}
	return w.Flush()
}

func printRepository(s *streams, r *admin.RepositoryDetail) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "repository\t%s\n", r.Name)
	fmt.Fprintf(w, "updates\t%s sent for each client, %s saved\n", size(r.UpdateBytes), size(r.UpdateBytesSaved))
	for _, t := range r.Tags {
		fmt.Fprintf(w, "tag\t%s\t%s\t%s\n", t.Tag, t.Served, t.Digest)
	}
	fmt.Fprintf(w, "\nversion\tplatform\tlayers\tkept\tnew\tnew bytes\tall bytes\tstale\n")
	for _, v := range r.History {
		fmt.Fprintf(w, "%.19s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", v.Digest, v.Platform, v.LayersTotal, v.LayersKept, v.LayersNew,
			size(v.NewBytes), size(v.TotalBytes), size(v.StaleBytes))
	}
	fmt.Fprintf(w, "\nlayer\tsize\tage\tholds\n")
	for _, l := range r.Layers {
		fmt.Fprintf(w, "%.19s\t%s\t%d\t%s\n", l.Digest, size(l.Size), l.Age, l.Name)
	}
	return w.Flush()
}
