package admin

import (
	"mime"
	"net/http"
	"net/netip"
	"strings"
)

// Login lets operators in. It is safe for concurrent use.
type Login interface {
	// LogsIn reports whether operators have to say who they are.
	LogsIn() bool
	// Check returns 0 for a request of an operator, else the status and the message of the answer, for which it sets headers.
	Check(w http.ResponseWriter, r *http.Request) (status int, message string)
}

// open reports whether a path is for everybody: probes have no login.
func open(path string) bool { return path == "/livez" || path == "/readyz" }

// guard answers what nobody may ask; it reports whether it did.
func (h *Handler) guard(w http.ResponseWriter, r *http.Request) (refused bool) {
	status, message := 0, ""
	switch {
	case open(r.URL.Path):
	case h.login != nil && h.login.LogsIn():
		status, message = h.login.Check(w, r)
	case (h.anyHost == nil || !h.anyHost()) && !ownName(r.Host):
		// A site can give its name the address of this listener, and its pages are the same site then.
		status, message = http.StatusForbidden, "this listener has no such name: ask for it by its address"
	}
	if status == 0 && r.Method != http.MethodGet && r.Method != http.MethodHead {
		status, message = h.changes(r)
	}
	if status != 0 {
		writeError(w, status, message)
	}
	return status != 0
}

// changes keeps pages of other sites from changing anything. A form can send neither this type nor, from a browser of today, anything.
func (h *Handler) changes(r *http.Request) (status int, message string) {
	if h.origins.Check(r) != nil {
		return http.StatusForbidden, "a page of another site may not do this"
	}
	if r.Method != http.MethodPost {
		return 0, "" // the path says what it takes
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return http.StatusUnsupportedMediaType, "the Content-Type must be application/json"
	}
	return 0, ""
}

// ownName reports whether a Host header can only be meant for this machine or its network: an address, or a name that the public DNS
// does not have.
func ownName(host string) bool {
	if addr, err := netip.ParseAddrPort(host); err == nil {
		return addr.IsValid()
	}
	name := strings.ToLower(host)
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") && strings.Count(name, ":") == 1 {
		name = name[:i]
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	name = strings.TrimSuffix(name, ".")
	return !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost")
}
