package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

// Help follows the flags in strata warm --help.
func (warmCommand) Help() string {
	return `Has a running proxy do now what it would do when the first client asks: fetch, rechunk and store.

    strata warm ghcr.io/ublue-os/bluefin:stable
    strata warm --no-wait quay.io/fedora/fedora-bootc:42 quay.io/fedora/fedora-bootc:43

The exit code is 1 if any image failed.`
}

type warmCommand struct {
	References []string `arg:"" name:"ref" help:"Images, as in ghcr.io/ublue-os/bluefin:stable."`
	NoWait     bool     `help:"Return at once; strata status shows how it goes on."`
	remoteFlags
}

// warmReport is the JSON document of strata warm: how each reference ended.
type warmReport struct {
	References []operate.WarmEvent `json:"references"`
}

func (c *warmCommand) Run(ctx context.Context, s *streams) error {
	if c.NoWait {
		jobs, err := c.client().Enqueue(ctx, c.References)
		switch {
		case err != nil && len(jobs) == 0:
			return c.explain(err)
		case c.JSON:
			if failed := printJSON(s.out, admin.WarmAccepted{Jobs: jobs}); failed != nil {
				return failed
			}
			return c.explain(err)
		}
		for _, j := range jobs {
			fmt.Fprintf(s.out, "job %s: %s\n", j.ID, j.Reference)
		}
		return c.explain(err)
	}
	b := newBars(s.terminal)
	report := warmReport{References: []operate.WarmEvent{}}
	err := c.client().Warm(ctx, c.References, func(e operate.WarmEvent) {
		if !e.Final() {
			b.update(e.Phase, e.DoneBytes, e.TotalBytes)
			return
		}
		report.References = append(report.References, e)
	})
	b.close()
	if err != nil && len(report.References) < len(c.References) {
		// Not the references failed but the proxy, or the way to it.
		return c.explain(err)
	}
	return c.print(s, report)
}

func (c *warmCommand) print(s *streams, report warmReport) error {
	failed := false
	for _, e := range report.References {
		failed = failed || e.State != jobs.Done
		if c.JSON {
			continue
		}
		fmt.Fprintf(s.out, "%s: %s", e.Reference, e.State)
		if why := cmp.Or(e.Error, e.AsItIs); why != "" {
			fmt.Fprintf(s.out, ": %s", why)
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
