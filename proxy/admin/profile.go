package admin

import (
	"net/http"
	"net/http/pprof"
	"strconv"
)

// maxProfile is how long a profile may take, in seconds.
const maxProfile = 60

// profiles adds those of the Go runtime. They are asked for by go tool pprof, under the same login as everything else here.
func (h *Handler) profiles() {
	for path, f := range map[string]http.HandlerFunc{
		"/debug/pprof/": pprof.Index, "/debug/pprof/profile": pprof.Profile, "/debug/pprof/symbol": pprof.Symbol,
		"/debug/pprof/trace": pprof.Trace,
	} {
		h.handle(path, shortly(f), http.MethodGet, http.MethodHead)
	}
}

// shortly refuses what would take too long.
func shortly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text := r.URL.Query().Get("seconds")
		if s, err := strconv.ParseFloat(text, 64); text != "" && (err != nil || s < 0 || s > maxProfile) {
			writeError(w, http.StatusBadRequest, "seconds is a number up to "+strconv.Itoa(maxProfile))
			return
		}
		next(w, r)
	}
}
