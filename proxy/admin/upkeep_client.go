package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/strata-oci/strata/proxy/upkeep"
)

// GC has the proxy remove what is not needed and waits for it. The error is upkeep.ErrBusy when it is at it already.
func (c *Client) GC(ctx context.Context, o upkeep.GCOptions) (report upkeep.GCReport, err error) {
	err = c.upkeep(ctx, "/api/v1/gc", GCRequest{DryRun: o.DryRun}, o.Progress, &report)
	return report, err
}

// Scrub has the proxy read all that is stored and mend what is damaged, and waits for it.
func (c *Client) Scrub(ctx context.Context, o upkeep.ScrubOptions) (report upkeep.ScrubReport, err error) {
	q := ScrubRequest{Rate: o.Rate, KeepDamagedSeconds: int64(o.KeepDamaged / time.Second)}
	err = c.upkeep(ctx, "/api/v1/scrub", q, o.Progress, &report)
	return report, err
}

// Prune has the proxy drop what has a name, and waits for it.
func (c *Client) Prune(ctx context.Context, o upkeep.PruneOptions) (report upkeep.PruneReport, err error) {
	err = c.upkeep(ctx, "/api/v1/prune", PruneRequest{Name: o.Name, DryRun: o.DryRun, EndRollouts: o.EndRollouts},
		o.Progress, &report)
	return report, err
}

// upkeep asks for work and reads its progress to the report at the end.
func (c *Client) upkeep(ctx context.Context, path string, request any, progress upkeep.Progress, report any) error {
	response, err := c.post(ctx, path, request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxDocument)
	for lines.Scan() {
		var e UpkeepEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("the proxy sent a line that is no event: %w", err)
		}
		switch {
		case e.Busy:
			return upkeep.ErrBusy
		case e.Error != "":
			return errors.New(e.Error)
		case e.Report != nil:
			return json.Unmarshal(e.Report, report)
		case progress != nil:
			progress(e.Phase, e.Done, e.Total)
		}
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the proxy's answer broke off: %w", err)
}
