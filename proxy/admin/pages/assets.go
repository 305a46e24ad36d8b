package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
)

//go:embed assets templates
var files embed.FS

const (
	styleName  = "strata.css"
	scriptName = "strata.js"
)

// Policy lets pages load their own style sheet and script, ask their own listener and send forms to it, and nothing else.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// asset is a file that pages load. It is small and checked by its hash, so that an upgrade shows at once.
type asset struct {
	body      []byte
	tag, kind string
}

// readAssets names types itself, since package mime may ask the system, and browsers must not guess.
func readAssets() map[string]asset {
	out := map[string]asset{}
	for name, kind := range map[string]string{
		styleName: "text/css; charset=utf-8", scriptName: "text/javascript; charset=utf-8",
	} {
		body, _ := files.ReadFile("assets/" + name) // it is in the program
		sum := sha256.Sum256(body)
		out[name] = asset{body, `"` + hex.EncodeToString(sum[:16]) + `"`, kind}
	}
	return out
}

func (h *Handler) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := h.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	head := w.Header()
	head.Set("Cache-Control", "no-cache")
	head.Set("Content-Security-Policy", Policy)
	head.Set("ETag", a.tag)
	if r.Header.Get("If-None-Match") == a.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Type", a.kind)
	_, _ = w.Write(a.body) // who left does not hear of it
}
