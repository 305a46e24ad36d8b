package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Keeper looks after the store. It is safe for concurrent use.
type Keeper interface {
	// GC removes what is not needed.
	GC(ctx context.Context, o upkeep.GCOptions) (upkeep.GCReport, error)
	// Scrub reads all that is stored and mends what is damaged.
	Scrub(ctx context.Context, o upkeep.ScrubOptions) (upkeep.ScrubReport, error)
	// Prune drops tags, repositories and lineages by name.
	Prune(ctx context.Context, o upkeep.PruneOptions) (upkeep.PruneReport, error)
	// State tells how the store is kept.
	State(ctx context.Context) (upkeep.State, error)
}

// GCRequest is the body of POST /api/v1/gc.
type GCRequest struct {
	DryRun bool `json:"dry_run"`
}

// ScrubRequest is the body of POST /api/v1/scrub.
type ScrubRequest struct {
	// Rate bounds the reading, in bytes a second; 0 means no bound.
	Rate int64 `json:"rate"`
	// KeepDamagedSeconds is how long what is in quarantine stays there.
	KeepDamagedSeconds int64 `json:"keep_damaged_seconds"`
}

// PruneRequest is the body of POST /api/v1/prune.
type PruneRequest struct {
	Name   string `json:"name"`
	DryRun bool   `json:"dry_run"`
	// EndRollouts drops tags, too, of which not all hosts get the newest version yet.
	EndRollouts bool `json:"end_rollouts,omitempty"`
}

// UpkeepEvent is a line of the answer to a request for upkeep: progress, or, as the last one, the report or why there is
// none.
type UpkeepEvent struct {
	Phase  string          `json:"phase,omitempty"`
	Done   int64           `json:"done,omitempty"`
	Total  int64           `json:"total,omitempty"`
	Report json.RawMessage `json:"report,omitempty"`
	Error  string          `json:"error,omitempty"`
	// Busy says that the error is that the same work is under way.
	Busy bool `json:"busy,omitempty"`
}

const (
	maxUpkeepBody = 64 << 10
	// maxKeepSeconds is ten years.
	maxKeepSeconds = 10 * 365 * 24 * 3600
	// upkeepTick is how often progress is told at most.
	upkeepTick = 200 * time.Millisecond
)

func (h *Handler) postGC(w http.ResponseWriter, r *http.Request) {
	var q GCRequest
	h.upkeep(w, r, &q, func(ctx context.Context, p upkeep.Progress) (any, error) {
		return h.keeper.GC(ctx, upkeep.GCOptions{DryRun: q.DryRun, Progress: p})
	})
}

func (h *Handler) postScrub(w http.ResponseWriter, r *http.Request) {
	var q ScrubRequest
	h.upkeep(w, r, &q, func(ctx context.Context, p upkeep.Progress) (any, error) {
		if q.Rate < 0 || q.KeepDamagedSeconds < 0 || q.KeepDamagedSeconds > maxKeepSeconds {
			return nil, fmt.Errorf("%w: rate and keep_damaged_seconds are 0 or more, the latter at most %d", errAsked,
				maxKeepSeconds)
		}
		keep := time.Duration(q.KeepDamagedSeconds) * time.Second
		return h.keeper.Scrub(ctx, upkeep.ScrubOptions{Rate: q.Rate, KeepDamaged: keep, Progress: p})
	})
}

func (h *Handler) postPrune(w http.ResponseWriter, r *http.Request) {
	var q PruneRequest
	h.upkeep(w, r, &q, func(ctx context.Context, p upkeep.Progress) (any, error) {
		return h.keeper.Prune(ctx, upkeep.PruneOptions{Name: q.Name, DryRun: q.DryRun, EndRollouts: q.EndRollouts,
			Progress: p})
	})
}

// errAsked says that a request asks for what cannot be done.
var errAsked = errors.New("the document asks for too much")

// upkeep reads a request and does the work, whose progress and end are sent a document per line. What fails before there is
// any progress is answered with a status of its own. A client that leaves ends the work.
func (h *Handler) upkeep(w http.ResponseWriter, r *http.Request, request any,
	work func(context.Context, upkeep.Progress) (any, error)) {
	if status, err := h.readUpkeep(w, r, request); err != nil {
		writeError(w, status, err.Error())
		return
	}
	control := http.NewResponseController(w)
	_, _ = control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})
	ctx, cancel := h.work.Bind(r.Context())
	defer cancel()
	lines := legible.NewWriter(w)
	var mu sync.Mutex
	begun := false
	send := func(e UpkeepEvent) {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/x-ndjson")
		}
		if json.NewEncoder(lines).Encode(e) != nil || control.Flush() != nil {
			cancel()
		}
	}
	var last time.Time
	report, err := work(ctx, func(phase string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(last) >= upkeepTick {
			last = now
			send(UpkeepEvent{Phase: phase, Done: done, Total: total})
		}
	})
	mu.Lock()
	defer mu.Unlock()
	if err != nil && !begun {
		h.failUpkeep(w, r, err)
		return
	}
	end := UpkeepEvent{Busy: errors.Is(err, upkeep.ErrBusy)}
	if err == nil {
		end.Report, err = json.Marshal(report)
	}
	if err != nil {
		end.Error = err.Error()
		h.log.Warn("upkeep that was asked for failed", "path", r.URL.Path, "error", err)
	}
	send(end)
}

// failUpkeep says why no work was begun.
func (h *Handler) failUpkeep(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errAsked):
		writeError(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, upkeep.ErrUnknownName):
		writeError(w, http.StatusNotFound, err.Error())
	case errors.Is(err, upkeep.ErrRolledOut):
		writeError(w, http.StatusConflict, err.Error())
	case errors.Is(err, upkeep.ErrBusy):
		writeJSON(w, http.StatusConflict, errorDocument{Error: err.Error(), Busy: true})
	default:
		h.fail(w, r, err)
	}
}

// readUpkeep reads the document of a request, or says with which status it is refused.
func (h *Handler) readUpkeep(w http.ResponseWriter, r *http.Request, request any) (status int, err error) {
	if h.keeper == nil {
		return http.StatusNotImplemented, errors.New("this proxy does not look after a store")
	}
	if h.ending() {
		return http.StatusServiceUnavailable, errShuttingDown
	}
	if err := readDocument(w, r, maxUpkeepBody, request); err != nil {
		return http.StatusBadRequest, fmt.Errorf("the body is not the document that this path takes: %w", err)
	}
	return 0, nil
}
