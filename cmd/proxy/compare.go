package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/legible"
	"github.com/strata-oci/strata/rechunk/plan"
)

type compareCommand struct {
	Old string `arg:"" help:"Image that the client has: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF."`
	New string `arg:"" help:"Image that it updates to."`

	Compression string `help:"Compression of the floor: zstd or gzip." default:"zstd"`
	All         bool   `help:"List every component, not only the largest."`
	State       string `help:"State or storage directory that has the plan of the new image: its reasons are shown then." placeholder:"DIR"`
	Deltas      bool   `help:"Make deltas, too, and show what they take and why."`
	Format      string `help:"Format of the deltas: strata, tar-diff-1 or tar-diff-2." default:"strata"`
	Notes       bool   `help:"Print release notes, in Markdown: packages, changelogs, what they name, and bytes."`
	imageFlags
}

// Help follows the flags in strata compare --help.
func (compareCommand) Help() string {
	return `A client on OLD fetches the layers of NEW that OLD lacks: the update bytes.

The floor is what the changed files alone take in one compressed layer; nothing that consists of layers can do better. The
tables show why each layer was written and which component each byte of the update goes to: what changed, and what did not but
lies in a layer with it. With --deltas the update is made as deltas, too, which takes its time: what they take, and what stood
in the way of less. --notes writes release notes in place of the tables.

    strata compare oci:./out:1 oci:./out:2
    strata compare docker://quay.io/fedora/fedora-bootc:42 docker://quay.io/fedora/fedora-bootc:43`
}

// shownComponents is how many components the table has without --all.
const shownComponents = 20

func (c *compareCommand) Run(ctx context.Context, s *streams) error {
	format, err := layer.ParseFormat(c.Compression)
	if err != nil {
		return usageError{fmt.Errorf("--compression: %w", err)}
	}
	var deltas imagedelta.Format
	if c.Deltas {
		if deltas, err = imagedelta.ParseFormat(c.Format); err != nil {
			return usageError{fmt.Errorf("--format: %w", err)}
		}
	}
	b := newBars(s.terminal)
	o := c.options(s, b)
	o.State = c.State
	r, err := oneshot.Compare(ctx, c.Old, c.New, format, deltas, o)
	b.close()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, r)
	}
	if c.Notes {
		return c.notes(r).Markdown(s.out)
	}
	if err := c.print(s, r); err != nil || r.Deltas == nil {
		return err
	}
	fmt.Fprintln(s.out)
	return printDeltas(s, r.Deltas, c.All)
}

// notes are release notes with what is known of bytes: by layers, and with --deltas by deltas, too.
func (c *compareCommand) notes(r *compare.Comparison) *compare.Notes {
	if r.Deltas != nil {
		return compare.NotesOf(c.Old, c.New, r.Contents, r.Deltas)
	}
	costs := &compare.Deltas{LayerBytes: r.UpdateBytes}
	for _, p := range r.Components {
		costs.Components = append(costs.Components,
			compare.DeltaComponent{Component: p.Component, LayerBytes: p.UpdateBytes,
				Files: p.FilesChanged + p.FilesUnchanged, Same: p.FilesUnchanged})
	}
	return compare.NotesOf(c.Old, c.New, r.Contents, costs)
}

// printContents says what is new, and which package databases hide what is.
func printContents(w io.Writer, n *compare.News) {
	for _, line := range n.Warnings {
		fmt.Fprintf(w, "damaged\t%s\n", legible.Line(line))
	}
	added, changed, removed := n.Count()
	if added+changed+removed == 0 {
		return
	}
	named := ""
	if len(n.CVEs) > 0 {
		named = "; changelogs name " + legible.Count(len(n.CVEs), "CVE")
	}
	fmt.Fprintf(w, "packages\t%d with another version, %d new, %d removed%s: --notes lists them\n", changed, added, removed,
		named)
}

func (c *compareCommand) print(s *streams, r *compare.Comparison) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "update\t%s in %d of %s\n", size(r.UpdateBytes), r.LayersToFetch, legible.Count(r.LayersTotal, "layer"))
	fmt.Fprintf(w, "floor\t%s: %s in one layer, %d removed\n", size(r.FloorBytes),
		legible.Count(r.FilesChanged, "changed file"), r.FilesRemoved)
	if r.FloorBytes > 0 {
		fmt.Fprintf(w, "ratio\t%.2f\n", r.Ratio)
	}
	if r.NewFormat != "" {
		fmt.Fprintf(w, "format\t%s, and %s before: no layer is in both, and hosts download all of it once\n", r.NewFormat,
			r.OldFormat)
	}
	printContents(w, r.Contents)
	printNoise(w, r.NoiseKept, r.KeepsNoise)
	if err := w.Flush(); err != nil || len(r.Components) == 0 {
		return err
	}
	if err := printLayersSent(s, r); err != nil {
		return err
	}
	return c.printComponents(s, r)
}

// printNoise says which files stay as they were served before.
func printNoise(w io.Writer, kept []rechunk.KeptFile, some bool) {
	switch {
	case len(kept) > 0:
		for _, k := range kept {
			fmt.Fprintf(w, "noise\t%s\n", k)
		}
	case some:
		fmt.Fprintln(w, "noise\tfiles that differ in build noise only stay as they were served before: strata verify lists them")
	}
}

// printLayersSent shows the layers that an update fetches, and which of those before were given up.
func printLayersSent(s *streams, r *compare.Comparison) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	if len(r.Layers) > 0 {
		fmt.Fprintln(w, "\nlayer\tsize\tunchanged\tholds\twritten because")
	}
	for _, l := range r.Layers {
		because := l.Reason
		if l.Because != "" && l.FilesUnchanged+l.FilesHidden > 0 {
			because += " (" + l.Because + ")"
		}
		fmt.Fprintf(w, "%.19s\t%s\t%s\t%s\t%s\n", l.Digest, size(l.Size), size(l.UnchangedBytes), l.Name, because)
	}
	for _, d := range r.Dropped {
		fmt.Fprintf(w, "%.19s\t%s\tdropped\t%s\t%s\n", d.Digest, size(d.Size), d.Name, whyDropped(d))
	}
	return w.Flush()
}

// whyDropped says in words why a layer was not kept.
func whyDropped(d rechunk.PlanDropped) string {
	text := string(d.Why)
	switch d.Why {
	case plan.WhyHidden:
		text = "all of it is hidden"
	case plan.WhyStale:
		text = "too much of it was hidden"
	case plan.WhyRoom:
		text = "its place was needed"
	}
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	if d.LiveBytes > 0 {
		text += fmt.Sprintf("; %s written again", size(d.LiveBytes))
	}
	return text
}

// printComponents shows what an update sends of which component: first what changed, then what comes along with it.
func (c *compareCommand) printComponents(s *streams, r *compare.Comparison) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nsent\tunchanged\tfloor\tfiles\tcomponent\twhy")
	list := lastly(r.Components, func(p compare.ComponentBytes) bool { return p.FilesChanged == 0 })
	if !c.All && len(list) > shownComponents {
		list = list[:shownComponents]
	}
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", size(p.UpdateBytes), size(p.UnchangedBytes), size(p.FloorBytes),
			p.FilesChanged,
			p.Component, p.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if n := len(r.Components) - len(list); n > 0 {
		fmt.Fprintf(s.out, "and %d more: --all lists them\n", n)
	}
	return nil
}
