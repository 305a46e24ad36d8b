package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/proxy/admin"
)

// Help follows the flags in strata release --help.
func (releaseCommand) Help() string {
	return `Lets a tag of a running proxy go back to an earlier image. Where signatures are asked for (verify), an image that
the tag stood for before is refused, although it is signed: it may be old and have holes. strata status says when
that happened. What is released is the image that the upstream's tag names now, and no other: what the tag stood for later counts
as newer again and needs no release, what it stood for earlier still does.

    strata release ghcr.io/ublue-os/bluefin:stable`
}

type releaseCommand struct {
	Reference string `arg:"" name:"ref" help:"A tag, as in ghcr.io/ublue-os/bluefin:stable."`
	remoteFlags
}

func (c *releaseCommand) Run(ctx context.Context, s *streams) error {
	report, err := c.client().Release(ctx, c.Reference)
	var answer *admin.APIError
	switch {
	case errors.As(err, &answer) && answer.StatusCode < 500:
		return linesError{errors.New(answer.Message)}
	case err != nil:
		return c.explain(err)
	case c.JSON:
		return printJSON(s.out, report)
	}
	return printLine(s.out, fmt.Sprintf("%s may stand for %s", report.Reference, report.Digest))
}
