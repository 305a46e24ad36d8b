package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/rollout"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Help follows the flags in strata hold --help.
func (holdCommand) Help() string {
	return `Holds a tag of a running proxy: no version reaches more hosts than it did, and new ones reach nobody, until strata release.
Hosts that have the newest version keep it; strata rollback takes it back. Who did it and when is in strata status REF.

    strata hold ghcr.io/ublue-os/bluefin:stable --reason "does not boot on AMD"`
}

// stopFlags are what it takes to keep versions of a tag from hosts.
type stopFlags struct {
	Reference string `arg:"" name:"ref" help:"A tag, as in ghcr.io/ublue-os/bluefin:stable."`
	Reason    string `help:"Why, for whoever looks."`
	remoteFlags
}

type holdCommand struct{ stopFlags }

func (c *holdCommand) Run(ctx context.Context, s *streams) error {
	report, err := c.client().Hold(ctx, c.Reference, c.Reason)
	return c.printRollout(s, &report, err)
}

// Help follows the flags in strata rollback --help.
func (rollbackCommand) Help() string {
	return `Has a running proxy give all hosts the version of a tag again that all had before the newest. What came since is withdrawn,
also if the tag comes back to it, until strata release. The next version that upstream publishes goes out by the rule.

    strata rollback ghcr.io/ublue-os/bluefin:stable --reason "does not boot on AMD"`
}

type rollbackCommand struct{ stopFlags }

func (c *rollbackCommand) Run(ctx context.Context, s *streams) error {
	report, err := c.client().Rollback(ctx, c.Reference, c.Reason)
	return c.printRollout(s, &report, err)
}

// printRollout prints how a roll-out stands after it was changed, or why it was not.
func (f *remoteFlags) printRollout(s *streams, r *operate.RolloutReport, err error) error {
	var answer *admin.APIError
	switch {
	case errors.As(err, &answer) && answer.StatusCode < 500 && answer.From == admin.Operators:
		return linesError{errors.New(answer.Message)}
	case err != nil:
		return f.explain(err)
	case f.JSON:
		return printJSON(s.out, r)
	}
	return printLine(s.out, r.Reference+": "+rolloutLine(r))
}

// servedOf is the digest by which hosts know a version: what is served of it, once it is made.
func servedOf(v *operate.RolledReport) string {
	if v.Digest != "" {
		return v.Digest
	}
	return v.SourceDigest
}

// rolloutLine says in a line how a roll-out stands.
func rolloutLine(r *operate.RolloutReport) string {
	last := r.Versions[len(r.Versions)-1]
	served := servedOf(&last)
	line := fmt.Sprintf("%s, %s of hosts get %.19s", r.State, shareOf(last.Share), served)
	switch {
	case r.State == string(rollout.Reverting):
		line = fmt.Sprintf("%s, all hosts get %.19s, but of those that got a version since %s", r.State, served,
			shareOf(last.Share))
	case r.State == string(rollout.Complete):
		line = fmt.Sprintf("%s, all hosts get %.19s", r.State, served)
	case last.Withdrawn != nil:
		line = fmt.Sprintf("%s, nobody gets %.19s", r.State, served)
	case len(last.First) > 0:
		line += fmt.Sprintf(", and %d named first", len(last.First))
	}
	if stop := r.Held; stop != nil {
		line += stopped("held", stop.By, stop.At, stop.Reason)
	} else if stop := last.Withdrawn; stop != nil {
		line += stopped("rolled back", stop.By, stop.At, stop.Reason)
	}
	if seen := last.Seen; seen != nil && seen.Hosts > 0 {
		line += fmt.Sprintf(", of %s %d seen again", legible.Count(seen.Hosts, "host"), seen.Back)
		if seen.Overdue > 0 {
			line += fmt.Sprintf(" and %d overdue", seen.Overdue)
		}
	}
	if r.Ends {
		line += ", no rule has steps for it: all get it with the next pull"
	}
	return line + nextStep(&last)
}

// nextStep says when more hosts get a version, and how many do then.
func nextStep(v *operate.RolledReport) string {
	if v.NextShare == nil {
		return ""
	}
	when := "at " + v.NextAt.Format(time.RFC3339)
	switch {
	case v.NextAt.IsZero():
		when = "once hosts were seen again"
	case !v.NextAt.After(time.Now()):
		when = "with the next pull"
	}
	return fmt.Sprintf(", next step to %s of hosts %s", shareOf(*v.NextShare), when)
}

func stopped(what, by string, at time.Time, reason string) string {
	line := fmt.Sprintf(", %s by %s at %s", what, legible.Line(by), at.Format(time.RFC3339))
	if reason != "" {
		line += ": " + legible.Line(reason)
	}
	return line
}

// printRollouts says which tags don't stand for the same for all hosts.
func printRollouts(w io.Writer, list []operate.RepositoryReport) {
	first := true
	for _, repo := range list {
		for _, t := range repo.Tags {
			if t.Rollout == nil || t.Rollout.State == string(rollout.Complete) {
				continue
			}
			if first {
				fmt.Fprintf(w, "\nroll-out\tstate\n")
				first = false
			}
			fmt.Fprintf(w, "%s\t%s\n", t.Rollout.Reference, rolloutLine(t.Rollout))
		}
	}
}

// printRolloutDetail shows the versions of a tag's roll-out and who changed it.
func printRolloutDetail(w io.Writer, r *operate.RolloutReport) {
	fmt.Fprintf(w, "roll-out\t%s\t%s\n", r.Reference, rolloutLine(r))
	served := map[string]string{} // by what it is made of
	for _, v := range r.Versions {
		state := shareOf(v.Share)
		switch {
		case v.Withdrawn != nil:
			state = "withdrawn"
		case !v.RevertedAt.IsZero() && v.Share < 1:
			state = "of " + state + " those that got it, taken back by its upstream at " +
				v.RevertedAt.Format(time.RFC3339) + ","
		}
		served[v.SourceDigest] = servedOf(&v)
		fmt.Fprintf(w, "\t%.19s\t%s since %s\n", servedOf(&v), state, ago(v.MadeAt))
	}
	for _, e := range r.Log {
		note := ""
		if e.Note != "" {
			note = ": " + legible.Line(e.Note)
		}
		of := served[e.Source.String()]
		if of == "" && e.Source != "" {
			of = "source " + e.Source.String()[:19]
		}
		fmt.Fprintf(w, "\t%s\t%s by %s, %.19s%s\n", e.At.Format(time.RFC3339), e.Action, legible.Line(e.By), of, note)
	}
}

// printTag says what hosts get by a tag. While a version is rolled out, that is not the same for all of them.
func printTag(w io.Writer, t *operate.TagReport) {
	if r := t.Rollout; r == nil || r.State == string(rollout.Complete) {
		fmt.Fprintf(w, "tag\t%s\t%s\t%s\n", t.Tag, t.Served, t.Digest)
		return
	}
	for _, part := range partsOf(t.Rollout) {
		fmt.Fprintf(w, "tag\t%s\t%s\t%s for %s\n", t.Tag, t.Served, part.digest, part.hosts)
	}
}

// part are the hosts that get a version.
type part struct{ digest, hosts string }

// partsOf tells which hosts get which version, newest first. Each version's share is that of the hosts that get it or a
// newer one.
func partsOf(r *operate.RolloutReport) (out []part) {
	newer := 0.0
	for i := range slices.Backward(r.Versions) {
		v := &r.Versions[i]
		share := v.Share - newer
		switch {
		case v.Withdrawn != nil:
			continue
		case !v.RevertedAt.IsZero() && v.Share < 1:
			out = append(out, part{servedOf(v), "those that got it"})
			continue
		case share <= 0 && len(v.First) == 0:
			continue
		}
		hosts := shareOf(share) + " of hosts"
		if len(v.First) > 0 {
			hosts += fmt.Sprintf(" and %d named first", len(v.First))
		}
		if newer == 0 && share >= 1 {
			hosts = "all hosts"
		}
		out = append(out, part{servedOf(v), hosts})
		newer = max(newer, v.Share)
	}
	return out
}
