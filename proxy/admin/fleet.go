package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/strata-oci/strata/proxy/fleet"
)

func (h *Handler) getFleet(w http.ResponseWriter, r *http.Request) {
	reference := r.URL.Query().Get("reference")
	if len(reference) > maxReferenceSize {
		writeError(w, http.StatusBadRequest, "the reference is too long")
		return
	}
	report, err := h.fleet(reference)
	switch {
	case errors.Is(err, fleet.ErrOff), errors.Is(err, fleet.ErrUnknownTag):
		writeError(w, http.StatusNotFound, err.Error())
	case err != nil:
		h.fail(w, r, err)
	default:
		writeJSON(w, http.StatusOK, report)
	}
}

// Fleet tells which hosts got what, of all tags, or of one, "host/path:tag", with its hosts.
func (c *Client) Fleet(ctx context.Context, reference string) (report fleet.Report, err error) {
	path := "/api/v1/fleet"
	if reference != "" {
		path += "?reference=" + url.QueryEscape(reference)
	}
	err = c.get(ctx, path, &report)
	return report, err
}
