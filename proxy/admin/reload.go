package admin

import (
	"context"
	"net/http"
)

// ReloadReport is the answer to POST /api/v1/reload: the configuration in use is the one that was read now. When it could
// not be taken over the status is 422, the error has a line for each thing that is wrong, and the configuration before
// stays.
type ReloadReport struct {
	Status   string   `json:"status"` // "reloaded"
	Warnings []string `json:"warnings"`
}

func (h *Handler) postReload(w http.ResponseWriter, r *http.Request) {
	if h.reload == nil {
		writeError(w, http.StatusNotImplemented, "this proxy cannot reload its configuration")
		return
	}
	warnings, err := h.reload(r.Context())
	if err != nil {
		writeError(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, ReloadReport{Status: "reloaded", Warnings: notNil(warnings)})
}

// Reload has the proxy take over its configuration anew, all of it or nothing, and returns that one's warnings.
func (c *Client) Reload(ctx context.Context) (warnings []string, err error) {
	response, err := c.post(ctx, "/api/v1/reload", struct{}{})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var report ReloadReport
	err = decode(response, &report)
	return report.Warnings, err
}
