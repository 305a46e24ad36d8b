package admin

import (
	_ "embed"
	"net/http"
)

// OpenAPI is the description of the listener's paths in OpenAPI 3.1. It is made of the types of their answers; the test says
// how.
//
//go:embed openapi.json
var OpenAPI []byte

func getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(OpenAPI) // who left does not hear of it
}
