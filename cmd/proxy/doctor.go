package main

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/proxy/doctor"
)

// Help follows the flags in strata doctor --help.
func (doctorCommand) Help() string {
	return `Looks at everything that a pull through the proxy needs: where the name leads, DNS, TLS, login, which entry of policy.json
applies, whether the image's signature would pass, clocks, space, bootc's version. A line each; where something is wrong, the
exact change. It changes nothing.

    strata doctor ghcr.io/ublue-os/bluefin:stable
    strata doctor --root /mnt/sysimage proxy.example/ghcr.io/ublue-os/bluefin:stable

The exit code is 1 if a pull would fail, or go past the proxy.`
}

type doctorCommand struct {
	Image    string       `arg:"" help:"Image as the host pulls it."`
	Root     string       `help:"Root of the host whose files are looked at." default:"/" placeholder:"DIR"`
	Platform platformFlag `help:"Platform of the host, os/arch[/variant]; default linux on this machine's architecture." placeholder:"P"`
	Bootc    string       `help:"Version of bootc on the host; by default this machine's, for the root /." placeholder:"VERSION"`
	JSON     bool         `help:"Print a JSON document."`
}

func (c *doctorCommand) Run(ctx context.Context, s *streams) error {
	o, done, err := doctor.On(ctx, c.Root)
	if err != nil {
		return err
	}
	defer func() { _ = done() }() // nothing was written
	if c.Platform != "" {
		o.Platform = string(c.Platform)
	}
	if c.Bootc != "" {
		o.Bootc = c.Bootc
	}
	report, err := doctor.Examine(ctx, c.Image, o)
	if err != nil {
		return usageError{err}
	}
	if err := c.print(s, report); err != nil {
		return err
	}
	if !report.Works() {
		return errFailed
	}
	return nil
}

func (c *doctorCommand) print(s *streams, report *doctor.Report) error {
	if c.JSON {
		return printJSON(s.out, struct {
			*doctor.Report
			Works bool `json:"works"`
		}{report, report.Works()})
	}
	for _, f := range report.Findings {
		line := fmt.Sprintf("%-5s  %-9s  %s", f.State, f.Check, f.Text)
		if f.Fix != "" {
			line += ". Change: " + f.Fix
		}
		if err := printLine(s.out, line); err != nil {
			return err
		}
	}
	return nil
}
