package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Limits on a warm request.
const (
	maxWarmBody      = 1 << 20
	maxReferences    = 100
	maxReferenceSize = 1024 // bytes
)

func (h *Handler) postWarm(w http.ResponseWriter, r *http.Request) {
	references, status, err := h.readWarm(w, r)
	if err != nil {
		writeError(w, status, err.Error())
		return
	}
	tasks, err := h.warm.add(references)
	if err != nil {
		w.Header().Set("Retry-After", "60")
		writeError(w, http.StatusTooManyRequests, err.Error())
		return
	}
	if r.URL.Query().Get("wait") == "1" {
		h.warmWaiting(w, r, tasks)
		return
	}
	accepted := WarmAccepted{}
	for _, task := range tasks {
		accepted.Jobs = append(accepted.Jobs, WarmJob{ID: task.report.ID, Reference: task.report.Reference})
	}
	h.warmLater(tasks)
	writeJSON(w, http.StatusAccepted, accepted)
}

// warmLater warms in the background, for which nobody waits.
func (h *Handler) warmLater(tasks []*warmTask) {
	for _, task := range tasks {
		h.warm.begin(func(ctx context.Context) {
			if err := h.warm.run(ctx, task, func(operate.WarmEvent) {}); err != nil {
				h.log.Warn("warming failed", "reference", task.report.Reference, "error", err)
			}
		})
	}
}

// readWarm returns the references of a request, or an error with its status.
func (h *Handler) readWarm(w http.ResponseWriter, r *http.Request) (references []string, status int, err error) {
	if h.warm == nil {
		return nil, http.StatusNotImplemented, errors.New("this proxy cannot warm")
	}
	if h.ending() {
		return nil, http.StatusServiceUnavailable, errShuttingDown
	}
	var request WarmRequest
	err = readDocument(w, r, maxWarmBody, &request)
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is longer than the limit of %d bytes",
			maxWarmBody)
	case err != nil:
		return nil, http.StatusBadRequest, fmt.Errorf(`the body is not {"references": ["…"]}: %w`, err)
	}
	if err := checkReferences(request.References); err != nil {
		return nil, http.StatusBadRequest, err
	}
	return request.References, 0, nil
}

func checkReferences(references []string) error {
	if len(references) == 0 || len(references) > maxReferences {
		return fmt.Errorf("references has %d entries: send 1 to %d", len(references), maxReferences)
	}
	for i, ref := range references {
		if err := checkReference(ref); err != nil {
			return fmt.Errorf("references[%d]: %w", i, err)
		}
	}
	return nil
}

func checkReference(ref string) error {
	switch {
	case ref == "":
		return errors.New("the reference is empty: name a tag, host/path:tag")
	case len(ref) > maxReferenceSize:
		return fmt.Errorf("the reference has %d bytes: send at most %d", len(ref), maxReferenceSize)
	case !legible.Plain(ref) || strings.Contains(ref, " "):
		return fmt.Errorf("the reference %.100q has a character that no reference has", ref)
	}
	return nil
}

// warmWaiting warms and tells the client how it goes. A client that leaves ends it.
func (h *Handler) warmWaiting(w http.ResponseWriter, r *http.Request, tasks []*warmTask) {
	control := http.NewResponseController(w)
	_, _ = control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}) // else the server's end this answer
	ctx, cancel := h.work.Bind(r.Context())
	defer cancel()

	events := newEventQueue()
	var running sync.WaitGroup
	for _, task := range tasks {
		running.Add(1)
		h.warm.begin(func(context.Context) {
			defer running.Done()
			_ = h.warm.run(ctx, task, events.put) // the client is told by the final event
		})
	}
	if !h.work.Go("warm", func(context.Context) {
		running.Wait()
		events.close()
	}) {
		running.Wait()
		events.close()
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(legible.NewWriter(w))
	for {
		batch, more := events.take()
		for _, e := range batch {
			if encoder.Encode(e) != nil {
				return // cancelling ends the tasks
			}
		}
		if !more || control.Flush() != nil {
			return
		}
	}
}
