package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/strata-oci/strata/proxy/operate"
)

// maxReleaseBody bounds a release request in bytes.
const maxReleaseBody = 4 << 10

// ReleaseRequest names a tag that may go back to an earlier image, or whose roll-out may go on; with All, to all hosts at
// once.
type ReleaseRequest struct {
	Reference string `json:"reference"`
	All       bool   `json:"all,omitempty"`
}

// ReleaseReport says which image the tag may stand for, or how its roll-out stands.
type ReleaseReport struct {
	Reference string                 `json:"reference"`
	Digest    string                 `json:"source_digest,omitempty"`
	Rollout   *operate.RolloutReport `json:"rollout,omitempty"`
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
	if err := checkReference(request.Reference); err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	report, err := h.releaseTag(ctx, request, operator(r))
	if err != nil {
		h.failRollout(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, report)
}

// releaseTag lets a tag go back to an earlier image or, where it did not, its roll-out go on.
func (h *Handler) releaseTag(ctx context.Context, q ReleaseRequest, by string) (ReleaseReport, error) {
	report, err := ReleaseReport{Reference: q.Reference}, error(operate.ErrNothingToRelease)
	if !q.All && h.release != nil { // what all hosts are to get is a matter of the roll-out alone
		report.Digest, err = h.release(ctx, q.Reference)
	}
	if errors.Is(err, operate.ErrNothingToRelease) && h.rollouts != nil {
		report.Rollout, err = h.rollouts.Release(ctx, q.Reference, by, q.All)
	}
	if err == nil && report.Digest != "" {
		h.log.Info("tag released", "reference", q.Reference, "source", report.Digest, "by", by)
	}
	return report, err
}

// Release allows a tag, "host/path:tag", to go back to the earlier image that its upstream names, and returns that image;
// where it did not go back, its roll-out goes on, with all to all hosts at once.
func (c *Client) Release(ctx context.Context, reference string, all bool) (ReleaseReport, error) {
	var report ReleaseReport
	response, err := c.post(ctx, "/api/v1/release", ReleaseRequest{reference, all})
	if err != nil {
		return report, err
	}
	defer response.Body.Close()
	return report, decode(response, &report)
}
