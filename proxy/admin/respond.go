package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/legible"
)

// writeJSON writes a document. It is put together first, so that a failure is not half an answer.
func writeJSON(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil { // an infinite number is the one way there is
		status, body = http.StatusInternalServerError, []byte(`{"error":"the report cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(legible.Lines(body), '\n')) // who left does not hear of it
}

// errorDocument is the body of every answer that is an error.
type errorDocument struct {
	Error string `json:"error"`
	// Busy says that the same work is under way.
	Busy bool `json:"busy,omitempty"`
}

func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, errorDocument{Error: message})
}

// only answers requests with other methods itself.
func only(next http.HandlerFunc, methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			writeError(w, http.StatusMethodNotAllowed, "this path takes "+strings.Join(methods, " and "))
			return
		}
		next(w, r)
	})
}
