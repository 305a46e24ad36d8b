package admin

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"

	"github.com/strata-oci/strata/proxy/operate"
)

const (
	// updateTimeout bounds how long one may wait to hear what an update costs: two images are taken apart for it.
	updateTimeout = 5 * time.Minute
	// maxReference bounds an image's name in a query, in bytes.
	maxReference = 1024
)

// getUpdate tells what an update costs.
func (h *Handler) getUpdate(w http.ResponseWriter, r *http.Request) {
	if h.updates == nil {
		writeError(w, http.StatusNotImplemented, "this process does not know what updates cost")
		return
	}
	q := r.URL.Query()
	from, to, platform := q.Get("from"), q.Get("to"), q.Get("platform")
	if from == "" || to == "" || len(from)+len(to)+len(platform) > maxReference {
		writeError(w, http.StatusBadRequest,
			"name two images, from and to: each HOST/PATH:TAG, HOST/PATH@DIGEST or a digest")
		return
	}
	if platform == "" {
		platform = "linux/" + runtime.GOARCH
	}
	ctx, cancel := context.WithTimeout(r.Context(), updateTimeout)
	defer cancel()
	costs, err := h.updates.Update(ctx, from, to, platform)
	switch {
	case errors.Is(err, operate.ErrNotFound):
		writeError(w, http.StatusNotFound, err.Error())
	case err != nil:
		h.fail(w, r, err)
	default:
		writeJSON(w, http.StatusOK, costs)
	}
}
