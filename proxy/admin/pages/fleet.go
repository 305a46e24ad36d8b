package pages

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/operate"
)

// fleetPage says who runs what.
type fleetPage struct {
	Off  string // why there is nothing to tell
	All  *fleet.Report
	Tags []fleet.TagReport // those with most hosts behind first
	More int               // tags that are not shown
}

// maxFleetTags is how many tags the page of the fleet shows; the others have pages of their own.
const maxFleetTags = 100

func (h *Handler) fleet(context.Context, *http.Request, *operate.StatusReport) (*view, error) {
	p := &fleetPage{}
	all, err := h.Fleet("")
	switch {
	case errors.Is(err, fleet.ErrOff):
		p.Off = err.Error()
	case err != nil:
		return nil, err
	default:
		p.All = all
		p.Tags = slices.Clone(all.Tags)
		slices.SortStableFunc(p.Tags, func(a, b fleet.TagReport) int {
			if a.Behind != b.Behind {
				return b.Behind - a.Behind
			}
			return b.Hosts - a.Hosts
		})
		p.More = max(0, len(p.Tags)-maxFleetTags)
		p.Tags = p.Tags[:min(len(p.Tags), maxFleetTags)]
	}
	return &view{template: "fleet", title: "Fleet", section: "fleet", body: p}, nil
}
