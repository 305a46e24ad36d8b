package admin

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
)

//go:embed ui
var files embed.FS

// pagePolicy lets the dashboard load its own files and ask its own API, and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// page serves a file of the dashboard. It is small and checked by its hash, so that an upgrade shows at once.
func page(name string) http.HandlerFunc {
	body, err := files.ReadFile("ui/" + name)
	if err != nil {
		return func(w http.ResponseWriter, _ *http.Request) {
			writeError(w, http.StatusNotFound, "the dashboard was not built in")
		}
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	kind := contentType(path.Ext(name))
	return func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Cache-Control", "no-cache")
		head.Set("Content-Security-Policy", pagePolicy)
		head.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		head.Set("Content-Type", kind)
		_, _ = w.Write(body) // who left does not hear of it
	}
}

// contentType names types itself, since package mime may ask the system, and browsers must not guess.
func contentType(extension string) string {
	switch extension {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	}
	return "application/octet-stream"
}
