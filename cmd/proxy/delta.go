package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/legible"
)

type deltaCommand struct {
	Old   string `arg:"" help:"Image that the client has: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF."`
	New   string `arg:"" help:"Image that it updates to; with --apply the file."`
	File  string `arg:"" help:"File to write, or a reference; with --apply where the image goes." placeholder:"FILE"`
	Apply bool   `help:"Apply a file: OLD FILE NEW."`

	Format string `help:"tar-diff-1, tar-diff-2 (others read both), or strata." default:"tar-diff-1"`
	All    bool   `help:"List every component, not only the largest."`
	imageFlags
}

// Help follows the flags in strata delta --help.
func (deltaCommand) Help() string {
	return `The file has the new image's manifest and config, and for each layer that the old one lacks how to make it of the old
one's files. It is an OCI artifact in an OCI archive; written to docker://REF, a registry lists it among the new image's
referrers. With --apply the image is made again, with the digests of the one that the file was made for where its layers can be
compressed again byte for byte; otherwise only their diff_ids are the same, and the output says so.

    strata delta oci:./out:1 oci:./out:2 update.delta
    strata delta --apply oci:./out:1 update.delta oci:./made:2
    strata delta --format strata --json docker://quay.io/fedora/fedora-bootc:42 docker://quay.io/fedora/fedora-bootc:43 f43.delta`
}

func (c *deltaCommand) Run(ctx context.Context, s *streams) error {
	format, err := imagedelta.ParseFormat(c.Format)
	if err != nil {
		return usageError{fmt.Errorf("--format: %w", err)}
	}
	b := newBars(s.terminal)
	o := c.options(s, b)
	if c.Apply {
		made, err := oneshot.Apply(ctx, c.Old, c.New, c.File, o)
		b.close()
		if err != nil {
			return err
		}
		return c.printApplied(s, made)
	}
	costs, err := oneshot.Delta(ctx, c.Old, c.New, c.File, format, c.JSON, o)
	b.close()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, costs)
	}
	return printDeltas(s, costs, c.All)
}

// printApplied says what was made, and what of it is not the target's byte for byte.
func (c *deltaCommand) printApplied(s *streams, made *imagedelta.Applied) error {
	if c.JSON {
		return printJSON(s.out, made)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "digest\t%s\n", made.Digest)
	counts := map[string]int{}
	for _, l := range made.Layers {
		counts[l.How]++
	}
	fmt.Fprintf(w, "layers\t%d: %d made, %d whole, %d of the old image\n", len(made.Layers), counts["delta"],
		counts["whole"],
		counts["reused"])
	if !made.Exact {
		fmt.Fprintf(w, "target\t%s, of which only the diff_ids match\n", made.Target)
		for _, d := range made.Inexact() {
			fmt.Fprintf(w, "\t%s: no encoder here makes its bytes\n", d)
		}
	}
	return w.Flush()
}

// printDeltas shows what deltas cost, and the components that cost most.
func printDeltas(s *streams, r *compare.Deltas, all bool) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "layers\t%s in %d of %s\n", size(r.LayerBytes), r.LayersNew, legible.Count(r.LayersTotal, "layer"))
	estimated := ""
	if r.Estimated {
		estimated = ", estimated"
	}
	fmt.Fprintf(w, "delta\t%s%s\n", size(r.DeltaBytes), estimated)
	if r.LayerBytes > 0 {
		fmt.Fprintf(w, "ratio\t%.3f\n", r.Ratio)
	}
	if r.EncoderSeconds > 0 {
		fmt.Fprintf(w, "encoders\t%.0f s to apply it\n", r.EncoderSeconds)
	}
	for _, l := range r.Layers {
		how := ""
		switch {
		case l.Whole:
			how = "as it is: a delta is no smaller"
		case !l.Exact:
			how = "only its diff_id can be made again"
		}
		fmt.Fprintf(w, "%.19s\t%s of %s\t%s\n", l.Digest, size(l.DeltaBytes), size(l.Size), how)
	}
	if err := w.Flush(); err != nil || len(r.Components) == 0 {
		return err
	}
	return printDeltaComponents(s, r.Components, all)
}

func printDeltaComponents(s *streams, list []compare.DeltaComponent, all bool) error {
	list = lastly(list, func(p compare.DeltaComponent) bool { return p.Unchanged() })
	n := len(list)
	if !all && n > shownComponents {
		list = list[:shownComponents]
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nlayers\tdelta\tfiles\tsame\tpatched\twrapped\twhole\tcomponent\twhy not less")
	for _, p := range list {
		why := ""
		if len(p.Why) > 0 {
			why = fmt.Sprintf("%s: %s, %s", p.Why[0].Why, legible.Count(p.Why[0].Files, "file"), size(p.Why[0].Bytes))
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", size(p.LayerBytes), size(p.DeltaBytes), p.Files, p.Same,
			p.Patched,
			p.Wrapped, p.Whole, p.Component, why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if n > len(list) {
		fmt.Fprintf(s.out, "and %d more: --all lists them\n", n-len(list))
	}
	return nil
}
