package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/strata-oci/strata/proxy/admin"
)

// Help follows the flags in strata reload --help.
func (reloadCommand) Help() string {
	return `Has a running proxy read its configuration file again and take it over: all of it or, when anything is wrong
with it or needs a restart, nothing. Requests and jobs under way go on as they began. SIGHUP does the same.

    strata reload`
}

type reloadCommand struct {
	remoteFlags
}

func (c *reloadCommand) Run(ctx context.Context, s *streams) error {
	warnings, err := c.client().Reload(ctx)
	var answer *admin.APIError
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusUnprocessableEntity:
		return linesError{fmt.Errorf("the configuration was not taken over:\n%s", answer.Message)}
	case err != nil:
		return c.explain(err)
	case c.JSON:
		return printJSON(s.out, admin.ReloadReport{Status: "reloaded", Warnings: append([]string{}, warnings...)})
	}
	for _, w := range warnings {
		fmt.Fprintln(s.err, "warning:", w)
	}
	return printLine(s.out, "configuration reloaded")
}
