package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Help follows the flags in strata fleet --help.
func (fleetCommand) Help() string {
	return `Shows how many hosts got which version of which tag, or of one tag which hosts those are, those that are furthest behind first. A host
is told from others as fleet.identify of the proxy's configuration says, and named by a keyed hash; --who finds one by its name.

    strata fleet
    strata fleet ghcr.io/ublue-os/bluefin:stable
    strata fleet --who 10.1.0.17`
}

type fleetCommand struct {
	Reference string `arg:"" optional:"" name:"ref" help:"A tag, as in ghcr.io/ublue-os/bluefin:stable, to list its hosts."`
	Who       string `help:"Tell of one host: its address, user or certificate's name, by whichever the proxy tells hosts apart." placeholder:"ADDRESS|USER|CN"`
	remoteFlags
}

func (c *fleetCommand) Run(ctx context.Context, s *streams) error {
	r, err := c.client().Fleet(ctx, c.Reference, c.Who)
	var answer *admin.APIError
	switch {
	case errors.As(err, &answer) && answer.StatusCode < 500 && answer.From == admin.Operators:
		return linesError{errors.New(answer.Message)}
	case err != nil:
		return c.explain(err)
	case c.JSON:
		return printJSON(s.out, r)
	}
	return printFleet(s.out, &r)
}

func printFleet(out io.Writer, r *fleet.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "hosts\t%d, told apart by %s\n", r.Hosts, r.Identify)
	for i, c := range r.Clients {
		if i == maxClients {
			fmt.Fprintf(w, "\t%s\n", legible.Count(len(r.Clients)-i, "other program"))
			break
		}
		name := c.Client
		if name == "" {
			name = "unknown"
		}
		fmt.Fprintf(w, "client\t%s\t%d\n", name, c.Hosts)
	}
	for _, t := range r.Tags {
		fmt.Fprintf(w, "\n%s\t%s, %d behind\n", t.Reference, legible.Count(t.Hosts, "host"), t.Behind)
		fmt.Fprintf(w, "version\tdigest\tbehind\thosts\tlast seen\n")
		for _, v := range t.Versions {
			fmt.Fprintf(w, "%s\t%.19s\t%s\t%d\t%s\n", orDash(legible.Line(v.Version)), v.Digest, lagOf(v.Lag), v.Hosts,
				ago(v.LastSeen))
		}
		if len(t.List) > 0 {
			fmt.Fprintf(w, "\nhost\tdigest\tbehind\tclient\tsince\tlast seen\n")
		}
		for _, h := range t.List {
			fmt.Fprintf(w, "%s\t%.19s\t%s\t%s\t%s\t%s\n", h.ID, h.Digest, lagOf(h.Lag), orDash(h.Client), ago(h.Since),
				ago(h.LastSeen))
		}
	}
	return w.Flush()
}

// maxClients is how many programs are listed.
const maxClients = 10

func lagOf(lag int) string {
	if lag < 0 {
		return "?"
	}
	return strconv.Itoa(lag)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
