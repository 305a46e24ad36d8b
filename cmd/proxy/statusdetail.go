package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk/legible"
)

// printRepository shows the versions of a repository, tag or lineage, and the layers of the newest one: those that are new,
// or all.
func printRepository(s *streams, r *operate.RepositoryDetail, all bool) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "repository\t%s\n", r.Name)
	fmt.Fprintf(w, "updates\t%s sent for each client, %s saved\n", size(r.UpdateBytes), size(r.UpdateBytesSaved))
	for _, t := range r.Tags {
		printTag(w, &t)
		if !t.StaleSince.IsZero() {
			fmt.Fprintf(w, "stale\t%s\tsince %s, last checked %s\n", t.Tag, t.StaleSince.Format(time.RFC3339),
				t.CheckedAt.Format(time.RFC3339))
		}
		if t.AsItIs != "" {
			fmt.Fprintf(w, "as it is\t%s\t%s\n", t.Tag, t.AsItIs)
		}
		if t.Refused != "" {
			fmt.Fprintf(w, "refused\t%s\t%s\n", t.Tag, t.Refused)
		}
	}
	for _, t := range r.Tags {
		if t.Rollout != nil {
			printRolloutDetail(w, t.Rollout)
		}
	}
	if r.Via && len(r.History) == 0 {
		fmt.Fprintf(w, "\nits versions are made by the Strata that via of its upstream names: strata status with --admin of "+
			"that one lists them\n")
		return w.Flush()
	}
	fmt.Fprintf(w, "\nversion\tplatform\tmade\tfor\tlayers\tkept\tnew\tnew bytes\tall bytes\tstale\tclients that pulled it\n")
	for _, v := range r.History {
		fmt.Fprintf(w, "%.19s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", v.Digest, v.Platform, ago(v.Created),
			shortReference(v.Reference),
			v.LayersTotal, v.LayersKept, v.LayersNew, size(v.NewBytes), size(v.TotalBytes), size(v.StaleBytes),
			clients(v.Pulls))
	}
	for _, v := range r.History {
		if v.UnkeptBytes > 0 {
			fmt.Fprintf(w, "\n%.19s\tis of another format than the version before: %s that hosts had, they download once more\n",
				v.Digest, size(v.UnkeptBytes))
		}
	}
	printLayers(w, r, all)
	if err := w.Flush(); err != nil {
		return err
	}
	printNotes(s.out, "what the planner says of that image", r.Notes)
	printNotes(s.out, "files that stayed as they were served before, as build noise is all that differs", r.NoiseKept)
	return nil
}

// printNotes shows lines below a heading, if there are any.
func printNotes[Line any](w io.Writer, heading string, lines []Line) {
	if len(lines) > 0 {
		fmt.Fprintf(w, "\n%s\n", heading)
	}
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}

// printLayers shows the layers of the newest version, if there is one.
func printLayers(w io.Writer, r *operate.RepositoryDetail, all bool) {
	if r.LayersOf == "" {
		return
	}
	what := "new layers"
	if all {
		what = "layers"
	}
	fmt.Fprintf(w, "\n%s of %.19s, highest first; age in versions\n", what, r.LayersOf)
	fmt.Fprintf(w, "layer\tsize\tage\tmade\tstale\theat\tpulls\tholds\n")
	kept, bytes := 0, int64(0)
	for _, l := range slices.Backward(r.Layers) {
		if l.Kept && !all {
			kept, bytes = kept+1, bytes+l.Size
			continue
		}
		fmt.Fprintf(w, "%.19s\t%s\t%d\t%s\t%s\t%s\t%d\t%s\n", l.Digest, size(l.Size), l.Age, ago(l.MadeAt),
			shareOf(l.StaleShare),
			shareOf(l.Heat), l.Pulls, l.Name)
	}
	if kept > 0 {
		fmt.Fprintf(w, "kept\t%s\tin %s that hosts of an earlier version have: --all shows them\n", size(bytes),
			legible.Count(kept, "layer"))
	}
}

// ago shows a time for people.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return humanize.Time(t)
}

// shareOf shows a share in percent.
func shareOf(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }

// shortReference leaves the registry's name out of host/path:tag.
func shortReference(ref string) string {
	if _, path, ok := strings.Cut(ref, "/"); ok {
		return path
	}
	return "-"
}

// clients says how far behind the clients were that pulled a version.
func clients(p operate.PullCount) string {
	var parts []string
	count := func(n float64, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s", n, what))
		}
	}
	for i, n := range p.Behind {
		count(n, fmt.Sprintf("%d behind", i+1))
	}
	count(p.Fresh, "new")
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}
