package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/strata-oci/strata/proxy/operate"
)

// maxReleaseBody bounds a release request in bytes.
const maxReleaseBody = 4 << 10

// ReleaseRequest names the tag that may go back to an earlier image.
type ReleaseRequest struct {
	Reference string `json:"reference"`
}

// ReleaseReport says which image the tag may stand for.
type ReleaseReport struct {
	Reference string `json:"reference"`
	Digest    string `json:"source_digest"`
}

func (h *Handler) postRelease(w http.ResponseWriter, r *http.Request) {
	if h.release == nil {
		writeError(w, http.StatusNotImplemented, "this proxy cannot release")
		return
	}
	var request ReleaseRequest
	if err := readDocument(w, r, maxReleaseBody, &request); err != nil {
		writeError(w, http.StatusBadRequest, `the body is not {"reference": "…"}: `+err.Error())
		return
	}
	if err := checkReferences([]string{request.Reference}); err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	d, err := h.release(ctx, request.Reference)
	switch {
	case errors.Is(err, operate.ErrNothingToRelease):
		writeError(w, http.StatusConflict, err.Error())
	case errors.Is(err, operate.ErrReference):
		writeError(w, http.StatusBadRequest, err.Error())
	case err != nil:
		h.fail(w, r, err)
	default:
		h.log.Info("tag released", "reference", request.Reference, "source", d)
		writeJSON(w, http.StatusOK, ReleaseReport{request.Reference, d})
	}
}

// Release allows a tag, "host/path:tag", to go back to the earlier image that its upstream names, and returns that image.
func (c *Client) Release(ctx context.Context, reference string) (ReleaseReport, error) {
	var report ReleaseReport
	response, err := c.post(ctx, "/api/v1/release", ReleaseRequest{reference})
	if err != nil {
		return report, err
	}
	defer response.Body.Close()
	return report, decode(response, &report)
}
