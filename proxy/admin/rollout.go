package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Rollouts change by hand which versions of tags hosts get. They are safe for concurrent use.
type Rollouts interface {
	Hold(ctx context.Context, reference, by, reason string) (*operate.RolloutReport, error)
	// HoldFor is Hold because of an alert that fires since a time. Where it is held already, or an operator knows, it
	// returns how it stands with the error.
	HoldFor(ctx context.Context, reference, reason string, since time.Time) (*operate.RolloutReport, error)
	// Release ends what keeps the newest version from hosts; with all, all get it at once.
	Release(ctx context.Context, reference, by string, all bool) (*operate.RolloutReport, error)
	Rollback(ctx context.Context, reference, by, reason string) (*operate.RolloutReport, error)
}

// RolloutRequest names a tag, "host/path:tag", and says why it is held or goes back.
type RolloutRequest struct {
	Reference string `json:"reference"`
	Reason    string `json:"reason,omitempty"`
}

// check refuses a request that nothing can be done with, or whose reason would not be a line in logs and on terminals.
func (q RolloutRequest) check() error {
	if err := checkReference(q.Reference); err != nil {
		return err
	}
	switch {
	case len(q.Reason) > operate.MaxReason:
		return fmt.Errorf("reason has %d bytes: send at most %d", len(q.Reason), operate.MaxReason)
	case !legible.Plain(q.Reason):
		return errors.New("reason has a line break or another character that is not printable: write one line of plain text")
	}
	return nil
}

func (h *Handler) postHold(w http.ResponseWriter, r *http.Request) {
	h.byHand(w, r, func(ctx context.Context, q RolloutRequest) (*operate.RolloutReport, error) {
		return h.rollouts.Hold(ctx, q.Reference, operator(r), q.Reason)
	})
}

func (h *Handler) postRollback(w http.ResponseWriter, r *http.Request) {
	h.byHand(w, r, func(ctx context.Context, q RolloutRequest) (*operate.RolloutReport, error) {
		return h.rollouts.Rollback(ctx, q.Reference, operator(r), q.Reason)
	})
}

// byHand does what an operator asks for.
func (h *Handler) byHand(w http.ResponseWriter, r *http.Request,
	fn func(context.Context, RolloutRequest) (*operate.RolloutReport, error)) {
	if h.rollouts == nil {
		writeError(w, http.StatusNotImplemented, "this proxy has no roll-outs")
		return
	}
	var request RolloutRequest
	if err := readDocument(w, r, maxReleaseBody, &request); err != nil {
		writeError(w, http.StatusBadRequest, `the body is not {"reference": "…", "reason": "…"}: `+err.Error())
		return
	}
	if err := request.check(); err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	report, err := fn(ctx, request)
	if err != nil {
		h.failRollout(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, report)
}

// failRollout says why nothing was changed.
func (h *Handler) failRollout(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, operate.ErrNotFound):
		writeError(w, http.StatusNotFound, err.Error())
	case errors.Is(err, operate.ErrRollout), errors.Is(err, operate.ErrNothingToRelease):
		writeError(w, http.StatusConflict, err.Error())
	case errors.Is(err, operate.ErrReference):
		writeError(w, http.StatusBadRequest, err.Error())
	default:
		h.fail(w, r, err)
	}
}

// Hold keeps the versions of a tag, "host/path:tag", from reaching more hosts than they did.
func (c *Client) Hold(ctx context.Context, reference, reason string) (report operate.RolloutReport, err error) {
	return c.byHand(ctx, "/api/v1/hold", RolloutRequest{reference, reason})
}

// Rollback gives all hosts the version of a tag again that all had before.
func (c *Client) Rollback(ctx context.Context, reference, reason string) (report operate.RolloutReport, err error) {
	return c.byHand(ctx, "/api/v1/rollback", RolloutRequest{reference, reason})
}

func (c *Client) byHand(ctx context.Context, path string, q RolloutRequest) (report operate.RolloutReport, err error) {
	response, err := c.post(ctx, path, q)
	if err != nil {
		return report, err
	}
	defer response.Body.Close()
	return report, decode(response, &report)
}
