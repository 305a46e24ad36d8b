package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/name"
)

// headerWay names, on /v2/, a repository: does the way to its images lead back to one that the request came through?
const headerWay = "Strata-Way"

// wayAfter is how long an answer may take to begin until it is found out whether it ever will.
const wayAfter = time.Second

// Ways knows where images of other Stratas come from.
type Ways interface {
	// LeadsBack asks the Strata that has a repository's images whether it, or one behind it, would ask for them here, or
	// where the work of ctx comes from (ViaOf). One that does not know leads nowhere.
	LeadsBack(ctx context.Context, repo name.Repository) bool
}

// base answers on /v2/.
func (h *handler) base(w *response, r *http.Request, as string) error {
	if _, err := h.authorize(w, r, Want{As: as}); err != nil {
		return err
	}
	if asked := r.Header.Get(headerWay); asked != "" && h.Ways != nil {
		repo, err := h.repository("", asked, nil)
		if err != nil {
			return err
		}
		if err := h.loop(r, repo); err != nil {
			return err
		}
		through := strings.Count(ViaOf(r.Context()), ",") + 1
		if h.Behind(repo.Host()) && (through >= mostVia || h.Ways.LeadsBack(r.Context(), repo)) {
			return LoopDetected(repo.Host())
		}
	}
	if h.Deltas != nil && h.Deltas.Formats() != "" {
		w.Header().Set(headerDeltas, h.Deltas.Formats())
	}
	writeJSON(w, r, "application/json", []byte("{}"))
	return nil
}

// unlessLedBack serves a request for images of another Strata. Where that one, or one behind it, waits for the same to come
// from here, the answer would never begin: each waits for another then, none for itself, and no request has a name in its
// Via header that its receiver knows for its own. So the way is asked for when it takes long.
func (h *handler) unlessLedBack(w *response, r *http.Request, repo name.Repository, serve func(*http.Request) error) error {
	if h.Ways == nil || !h.Behind(repo.Host()) {
		return serve(r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	timer := time.AfterFunc(wayAfter, func() {
		// On a ring lies this one as well as who asked: one question does for all who wait.
		if !w.begun.Load() && h.Ways.LeadsBack(context.WithValue(ctx, viaKey{}, ""), repo) && !w.begun.Load() {
			cancel(LoopDetected(repo.Host()))
		}
	})
	defer timer.Stop()
	err := serve(r.WithContext(ctx))
	var loop *Error
	if err != nil && !w.begun.Load() && errors.As(context.Cause(ctx), &loop) {
		return loop.WithCause(err)
	}
	return err
}
