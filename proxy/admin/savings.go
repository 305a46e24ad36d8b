package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/savings"
)

func (h *Handler) getSavings(w http.ResponseWriter, r *http.Request) {
	repository := r.URL.Query().Get("repository")
	switch {
	case len(repository) > maxReferenceSize:
		writeError(w, http.StatusBadRequest, "the repository's name is too long")
		return
	case h.savings == nil:
		writeError(w, http.StatusNotImplemented, "this process does not know what pulls saved")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	report, err := h.savings(ctx, repository)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if repository != "" && len(report.Repositories) == 0 {
		if _, err := h.status.Repository(ctx, repository); errors.Is(err, operate.ErrNotFound) {
			writeError(w, http.StatusNotFound, err.Error())
			return
		}
	}
	writeJSON(w, http.StatusOK, report)
}

// Savings tell what pulls took and would have taken of the sources, of all repositories, or of one, "host/path".
func (c *Client) Savings(ctx context.Context, repository string) (report savings.Report, err error) {
	path := "/api/v1/savings"
	if repository != "" {
		path += "?repository=" + url.QueryEscape(repository)
	}
	err = c.get(ctx, path, &report)
	return report, err
}
