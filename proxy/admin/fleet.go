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
	named := r.URL.Query().Get("who")
	if len(named) > maxReferenceSize {
		writeError(w, http.StatusBadRequest, "the name of a host is too long")
		return
	}
	var report *fleet.Report
	var err error
	if r.URL.Query().Has("who") {
		report, err = h.host(named, reference)
	} else {
		report, err = h.fleet(reference)
	}
	switch {
	case errors.Is(err, fleet.ErrNoHost):
		writeError(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, fleet.ErrOff), errors.Is(err, fleet.ErrUnknownTag), errors.Is(err, fleet.ErrUnknownHost):
		writeError(w, http.StatusNotFound, err.Error())
	case err != nil:
		h.fail(w, r, err)
	default:
		writeJSON(w, http.StatusOK, report)
	}
}

// Fleet tells which hosts got what, of all tags, or of one, "host/path:tag", with its hosts; or, where it is not empty, what
// one got that is named by its address, login or certificate.
func (c *Client) Fleet(ctx context.Context, reference, who string) (report fleet.Report, err error) {
	q := url.Values{}
	if reference != "" {
		q.Set("reference", reference)
	}
	if who != "" {
		q.Set("who", who)
	}
	path := "/api/v1/fleet"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	err = c.get(ctx, path, &report)
	return report, err
}
