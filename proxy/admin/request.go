package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// errShuttingDown is the answer to a request for work that could not be ended in time.
var errShuttingDown = errors.New("the proxy is shutting down")

// ending reports whether no work is to be begun any more.
func (h *Handler) ending() bool {
	select {
	case <-h.work.Done():
		return true
	default:
		return h.closing()
	}
}

// readDocument reads the one document that a request's body is, of at most limit bytes and without keys that are not known.
// The guard has seen to it that the request is JSON and comes from no other site.
func readDocument(w http.ResponseWriter, r *http.Request, limit int64, document any) error {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	body.DisallowUnknownFields()
	if err := body.Decode(document); err != nil {
		return err
	}
	if _, more := body.Token(); more != io.EOF {
		return errors.New("more than one document")
	}
	return nil
}
