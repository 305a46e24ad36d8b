package main

import (
	"context"
	"fmt"
)

// Help follows the flags in strata release --help.
func (releaseCommand) Help() string {
	return `Ends what keeps a tag's newest version from hosts of a running proxy: a hold, the rule's or by hand, or a rollback. Its steps go on
where they were, or begin; with --all, all hosts get it at once.

Where signatures are asked for (verify), an image that the tag stood for before is refused, although it is signed: it may be old and have
holes. strata status says when that happened, and then that is what is released first: the image that the upstream's tag names now, and no
other. What the tag stood for later counts as newer again and needs no release, what it stood for earlier still does.

    strata release ghcr.io/ublue-os/bluefin:stable
    strata release --all ghcr.io/ublue-os/bluefin:stable`
}

type releaseCommand struct {
	Reference string `arg:"" name:"ref" help:"A tag, as in ghcr.io/ublue-os/bluefin:stable."`
	All       bool   `help:"Give the newest version to all hosts at once."`
	remoteFlags
}

func (c *releaseCommand) Run(ctx context.Context, s *streams) error {
	report, err := c.client().Release(ctx, c.Reference, c.All)
	if err != nil || report.Rollout != nil && !c.JSON {
		return c.printRollout(s, report.Rollout, err)
	}
	if c.JSON {
		return printJSON(s.out, report)
	}
	return printLine(s.out, fmt.Sprintf("%s may stand for %s", report.Reference, report.Digest))
}
