package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Help follows the flags in strata scrub --help.
func (scrubCommand) Help() string {
	return `Reads every record and all content and compares it with its digest. What is damaged is put into quarantine, so that no host gets it;
a running proxy then fetches it again, or has the tag's image made again. It may be interrupted; the next one goes on from there.

    strata scrub                                on a running proxy, as fast as the disk reads
    strata scrub --rate 50MB                    a second
    strata scrub --state /var/lib/strata/data   on a store that no proxy uses; nothing is fetched then

The exit code is 1 if anything was damaged.`
}

type scrubCommand struct {
	Rate        string        `help:"How many bytes are read a second at most." placeholder:"SIZE"`
	KeepDamaged time.Duration `help:"How long what is in quarantine stays." default:"168h"`
	storeFlags
}

func (c *scrubCommand) Run(ctx context.Context, s *streams) error {
	o := upkeep.ScrubOptions{KeepDamaged: c.KeepDamaged}
	if c.Rate != "" {
		n, err := humanize.ParseBytes(c.Rate)
		if err != nil || n == 0 || n > 1<<50 {
			return usageError{fmt.Errorf("--rate %q is no size: write a number with a unit, such as 50MB", c.Rate)}
		}
		o.Rate = int64(n)
	}
	options := func(p upkeep.Progress) upkeep.ScrubOptions { o.Progress = p; return o }
	report, err := lookAfter(ctx, s, c.storeFlags, options, (*upkeep.Keeper).Scrub, (*admin.Client).Scrub)
	switch {
	case err != nil:
		return err
	case c.JSON:
		err = printJSON(s.out, report)
	default:
		err = printScrub(s.out, report)
	}
	if err == nil && len(report.Damaged)+int(report.Unread) > 0 {
		return errFailed
	}
	return err
}

func printScrub(out io.Writer, r upkeep.ScrubReport) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "read\t%s, %s, %s\n", legible.Count(r.Records, "record"),
		legible.Count(r.Content.Objects, "object"), size(r.Content.Bytes))
	for _, d := range r.Damaged {
		fmt.Fprintf(w, "damaged\t%s\t%s\t%s\n", d.Name, d.Outcome, d.Error)
	}
	if r.Unread > 0 {
		fmt.Fprintf(w, "unread\t%s that the storage failed to give\n", legible.Count(r.Unread, "object"))
	}
	fmt.Fprintf(w, "damaged\t%d\n", len(r.Damaged))
	return w.Flush()
}

// Help follows the flags in strata prune --help.
func (pruneCommand) Help() string {
	return `Drops the records of a tag, of a repository with all its tags, or of a lineage, and what nobody needs then. Hosts keep what they have; the
next pull of a dropped tag is a first one, which is why a tag that is held or rolled out by steps is refused without --end-rollouts, and without its lineage the next image is a whole download for every host.

    strata prune --dry-run ghcr.io/ublue-os/bluefin
    strata prune ghcr.io/ublue-os/bluefin:41`
}

type pruneCommand struct {
	Name   string `arg:"" help:"A tag, a repository or a lineage, with the registry's host."`
	DryRun bool   `help:"Only show what would go." short:"n"`

	EndRollouts bool `help:"Drop also tags that are held or rolled out: all hosts get the newest version then."`
	storeFlags
}

func (c *pruneCommand) Run(ctx context.Context, s *streams) error {
	options := func(p upkeep.Progress) upkeep.PruneOptions {
		return upkeep.PruneOptions{Name: c.Name, DryRun: c.DryRun, EndRollouts: c.EndRollouts, Progress: p}
	}
	report, err := lookAfter(ctx, s, c.storeFlags, options, (*upkeep.Keeper).Prune, (*admin.Client).Prune)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(s.out, report)
	}
	return printPrune(s.out, report)
}

func printPrune(out io.Writer, r upkeep.PruneReport) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	verb := "dropped"
	if r.DryRun {
		verb = "would go"
	}
	for _, of := range []struct {
		what  string
		names []string
	}{{"tag", r.Tags}, {"roll-out", r.Rollouts}, {"repository", r.Repositories}, {"lineage", r.Lineages}} {
		for _, name := range of.names {
			fmt.Fprintf(w, "%s\t%s\t%s\n", verb, of.what, name)
		}
	}
	if r.GC == nil {
		return w.Flush()
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printGC(out, *r.GC)
}
