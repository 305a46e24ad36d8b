package rechunk

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/rechunk/plan"
)

// loadHistory reads what was observed of the lineage. One that is damaged counts as lost: the plan learns from the lineage's
// images again, and its record says so.
func (r *run) loadHistory(ctx context.Context) error {
	key := lineageKey(r.req.Lineage, r.platform())
	b, err := r.cfg.Records.GetRecord(ctx, KindHistory, key)
	switch {
	case errors.Is(err, ErrNotFound):
		if len(r.images) > 0 {
			r.lost = "no history of the lineage: learned from its images alone"
		}
		return nil
	case err != nil:
		return fmt.Errorf("reading the %s record %q: %w", KindHistory, key, err)
	}
	if r.history, err = plan.ParseHistory(b); err != nil {
		r.lost = fmt.Sprintf("the history of the lineage is damaged, learned from its images alone: %v", err)
		r.cfg.Logger.WarnContext(ctx, "record is damaged and taken as missing", "kind", KindHistory, "key", key, "error",
			err)
	}
	return nil
}
