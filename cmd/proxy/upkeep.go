package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/server"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/rechunk/legible"
)

// storeFlags choose between a running proxy and a store that no proxy uses.
type storeFlags struct {
	Config string `help:"Work on the store of this configuration directly; no proxy may be using it." short:"c" placeholder:"FILE" xor:"store"`
	State  string `help:"Work on the store in this directory directly; no proxy may be using it." placeholder:"DIR" xor:"store"`
	remoteFlags
}

// direct reports whether the store is to be opened here.
func (f storeFlags) direct() bool { return f.Config != "" || f.State != "" }

// open lets work look after the store that the flags name.
func (f storeFlags) open(ctx context.Context, s *streams, work func(context.Context, *upkeep.Keeper) error) error {
	cfg := config.Default()
	if f.Config != "" {
		var err error
		if cfg, _, err = config.Load(f.Config, s.env); err != nil {
			return usageError{configurationError(f.Config, err)}
		}
	} else {
		marker := filepath.Join(f.State, "v1", "format")
		if _, err := os.Stat(marker); err != nil {
			return usageError{fmt.Errorf("there is no store in %s: %w: --state wants the directory of strata rechunk --state, or "+
				"storage.filesystem.rootdirectory", f.State, err)}
		}
		cfg.Storage.Parameters = map[string]any{"rootdirectory": f.State}
	}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	err := server.Maintain(ctx, cfg, log, work)
	if errors.Is(err, server.ErrInUse) {
		return fmt.Errorf("%w: ask the proxy that runs, with --admin URL in place of --config and --state, or stop it first",
			err)
	}
	return err
}

// lookAfter has work done on the store that the flags name, or asks the proxy that runs to do it, and shows how it goes.
func lookAfter[Options, Report any](ctx context.Context, s *streams, f storeFlags, options func(upkeep.Progress) Options,
	direct func(*upkeep.Keeper, context.Context, Options) (Report, error),
	remote func(*admin.Client, context.Context, Options) (Report, error),
) (report Report, err error) {
	b := newBars(s.terminal)
	defer b.close()
	o := options(b.update)
	if f.direct() {
		err = f.open(ctx, s, func(ctx context.Context, k *upkeep.Keeper) (err error) {
			report, err = direct(k, ctx, o)
			return err
		})
	} else {
		report, err = remote(f.client(), ctx, o)
	}
	return report, f.explain(err)
}

// explain says what to do when the proxy is busy, or none answers.
func (f storeFlags) explain(err error) error {
	if errors.Is(err, upkeep.ErrBusy) {
		return fmt.Errorf("the proxy at %s says: %w: wait for its end", f.url(), err)
	}
	return f.remoteFlags.explain(err)
}

// Help follows the flags in strata gc --help.
func (gcCommand) Help() string {
	return `Removes versions that keep_versions and keep_days let go, the sources of all but the current versions, and whatever else no tag
and no version leads to. What a tag stands for never goes, nor what clients read or jobs work on at that moment. It may be interrupted at
any time.

    strata gc --dry-run                       what would go, and why
    strata gc                                 on a running proxy
    strata gc --state /var/lib/strata/data    on a store that no proxy uses`
}

type gcCommand struct {
	DryRun bool `help:"Only show what would go." short:"n"`
	storeFlags
}

func (c *gcCommand) Run(ctx context.Context, s *streams) error {
	options := func(p upkeep.Progress) upkeep.GCOptions { return upkeep.GCOptions{DryRun: c.DryRun, Progress: p} }
	report, err := lookAfter(ctx, s, c.storeFlags, options, (*upkeep.Keeper).GC, (*admin.Client).GC)
	switch {
	case err != nil:
		return err
	case c.JSON:
		err = printJSON(s.out, report)
	default:
		err = printGC(s.out, report)
	}
	if err == nil && len(report.Damaged) > 0 {
		return fmt.Errorf("%s %s damaged, such as %s: nothing is removed until strata scrub has put them aside",
			legible.Count(len(report.Damaged), "record"), legible.Word(len(report.Damaged), "is", "are"), report.Damaged[0])
	}
	return err
}

func printGC(out io.Writer, r upkeep.GCReport) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	verb := "removed"
	if r.DryRun {
		verb = "would go"
	}
	for _, v := range r.Versions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", verb, v.Lineage, v.Digest, v.Reason)
	}
	printIdle(w, r)
	for _, kind := range slices.Sorted(maps.Keys(r.Records)) {
		fmt.Fprintf(w, "%s\t%s\tof the kind %s\n", verb, legible.Count(r.Records[kind], "record"), kind)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\n", verb, legible.Count(r.Removed.Objects, "object"), size(r.Removed.Bytes))
	if r.Waiting.Objects > 0 {
		fmt.Fprintf(w, "later\t%s\t%s\ttoo young, in use, or waiting for gc.grace\n",
			legible.Count(r.Waiting.Objects, "object"), size(r.Waiting.Bytes))
	}
	fmt.Fprintf(w, "kept\t%s\t%s\n", legible.Count(r.Kept.Objects, "object"), size(r.Kept.Bytes))
	return w.Flush()
}

// printIdle lists the largest of what nothing leads to, of a dry run.
func printIdle(w io.Writer, r upkeep.GCReport) {
	const shown = 20
	for i, c := range r.Content {
		if i == shown {
			break
		}
		verb := "would go"
		if !c.Goes {
			verb = "later"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", verb, c.Digest, size(c.Bytes), c.Reason)
	}
	if more := int64(len(r.Content)-shown) + r.ContentLeftOut; more > 0 {
		fmt.Fprintf(w, "and %s: --json lists them\n", legible.Count(more, "more object"))
	}
}
