package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/legible"
)

const (
	// updateTimeout bounds how long one may wait to hear what an update costs: two images are taken apart for it.
	updateTimeout = 5 * time.Minute
	// maxReference bounds an image's name in a query, in bytes.
	maxReference = 1024
)

// getUpdate tells what an update costs and, where that is asked for, what is new in it.
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
	wanted, err := image.AskedPlatform(platform)
	if err != nil {
		writeError(w, http.StatusBadRequest, "the query parameter platform: "+err.Error())
		return
	}
	format, contents := q.Get("format"), q.Get("contents") == "1"
	if format != "" && format != "json" && format != "markdown" {
		writeError(w, http.StatusBadRequest, "format is json or markdown")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), updateTimeout)
	defer cancel()
	update, err := h.updates.Update(ctx, from, to, image.PlatformString(wanted), contents || format == "markdown")
	switch {
	case errors.Is(err, operate.ErrNotFound):
		writeError(w, http.StatusNotFound, err.Error())
	case err != nil:
		h.fail(w, r, err)
	case format == "markdown":
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		notes := compare.NotesOf(from, to, update.Contents, &update.Deltas)
		_ = notes.Markdown(legible.NewWriter(w)) // who no longer listens is not told
	default:
		writeJSON(w, http.StatusOK, update)
	}
}
