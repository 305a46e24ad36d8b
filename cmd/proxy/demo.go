package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/proxy/demo"
)

type demoCommand struct {
	Keep  string  `help:"Keep the images that were pulled, as OCI image layouts, in this directory." placeholder:"DIR"`
	Scale float64 `help:"Size of the operating system's files; 1 makes 190 MB of them." default:"0.42"`
	JSON  bool    `help:"Print a JSON document."`
}

// Help follows the flags in strata demo --help.
func (demoCommand) Help() string {
	return `It makes four versions of a small operating system, serves them from a registry on a loopback port, runs the proxy
in front of it, pulls every version both ways and compares what arrived. That takes some 15 seconds and 700 MB in the
temporary directory (TMPDIR), which are freed at the end.

    strata demo
    strata demo --keep ./images && strata compare oci:./images/strata:1 oci:./images/strata:2

The exit code is 1 if any version was not the same filesystem both ways.`
}

// maxDemoScale keeps a demo within a few gigabytes.
const maxDemoScale = 10

func (c *demoCommand) Run(ctx context.Context, s *streams) error {
	if !(c.Scale > 0 && c.Scale <= maxDemoScale) {
		return usageError{fmt.Errorf("--scale: %v is not between 0 and %d", c.Scale, maxDemoScale)}
	}
	b := newBars(s.terminal)
	defer b.close()
	r, err := demo.Run(ctx, demo.Options{
		Keep: c.Keep, Scale: c.Scale, Version: programVersion(), Progress: b.update,
		Tell: func(line string) {
			if !c.JSON {
				b.pause(func() { fmt.Fprintln(s.out, line) })
			}
		},
		Logger: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	b.close()
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(s.out, r)
	} else {
		err = printDemo(s, r)
	}
	if err == nil && !r.Same {
		err = errFailed
	}
	return err
}

// demoRow is the layout of the table: a line of it is less than 100 columns.
const demoRow = "%-8s %-24s %9s %9s %9s %8s %8s %6s %8s\n"

func printDemo(s *streams, r *demo.Report) error {
	var t strings.Builder
	fmt.Fprintf(&t, "\n"+demoRow, "", "", "direct", "through", "", "", "layers", "layers", "through")
	fmt.Fprintf(&t, demoRow, "version", "what changed", "pull", "Strata", "floor", "saving", "kept", "new", "Strata")
	for _, v := range r.Versions {
		fmt.Fprintf(&t, demoRow, v.Version, v.Change, size(v.DirectBytes), size(v.StrataBytes), size(v.FloorBytes),
			percent(v.Saving),
			strconv.Itoa(v.LayersKept), strconv.Itoa(v.LayersNew), seconds(v.StrataSeconds))
	}
	all := r.Total
	fmt.Fprintf(&t, demoRow, "all", "", size(all.DirectBytes), size(all.StrataBytes), size(all.FloorBytes),
		percent(all.Saving), "", "",
		seconds(all.Seconds))
	t.WriteString(`
The floor is the changed files alone in one compressed layer: nothing that consists of layers can take less.
The time is that of the pull with the rechunking, which is done once for all hosts; below it, the whole demo's.
`)
	fmt.Fprintf(&t, "\nThe three updates took %s less through Strata.\n", percent(all.UpdateSaving))
	demoVerdict(&t, r)
	_, err := fmt.Fprint(s.out, t.String())
	return err
}

func demoVerdict(t *strings.Builder, r *demo.Report) {
	if !r.Same {
		t.WriteString("Some versions are NOT the same filesystem: please report this.\n")
		return
	}
	t.WriteString("Every version was the same filesystem both ways.\n")
	if r.Kept != "" {
		fmt.Fprintf(t, "The images are kept in %s: strata compare oci:%s/strata:1 oci:%s/strata:2\n", r.Kept, r.Kept, r.Kept)
	}
	t.WriteString(`
What next:
  strata serve                                          run it; without a configuration it is for this machine only
  bootc switch PROXY/ghcr.io/OWNER/IMAGE:TAG            point a host at it; docs/clients.md knows other clients
  docs/operations.md, config.example.yml                TLS, storage, rules for repositories
`)
}

func seconds(f float64) string { return fmt.Sprintf("%.1f s", f) }

// percent shows a share for people.
func percent(f float64) string { return fmt.Sprintf("%.1f%%", f*100) }
