package admin

import (
	"mime"
	"net/http"
	"net/netip"
	"strings"

	"github.com/strata-oci/strata/proxy/admin/pages"
)

// open reports whether a path is for everybody: probes have no login.
func open(path string) bool { return path == "/livez" || path == "/readyz" }

// guard answers what nobody may ask, and returns nil then; else the request, with who asks.
func (h *Handler) guard(w http.ResponseWriter, r *http.Request) *http.Request {
	by, status, message := "", 0, ""
	switch {
	case open(r.URL.Path):
	case !h.named(r):
		// A site can give its name the address of this listener. Its pages are the same site then, and a browser that knows
		// a login or has a certificate sends them along.
		status, message = http.StatusForbidden,
			"this listener has no such name: ask for it by its address, or list the name in admin.hosts"
	case pages.ForEverybody(r.URL.Path):
	default:
		if by, status, message = h.letIn(w, r, wayOf(r)); status == http.StatusUnauthorized && asksForPage(r) {
			w.Header().Del("WWW-Authenticate") // else the browser asks by itself
			http.Redirect(w, r, pages.LoginFor(r), http.StatusSeeOther)
			return nil
		}
	}
	if status == 0 && r.Method != http.MethodGet && r.Method != http.MethodHead {
		status, message = h.changes(r)
	}
	if status != 0 {
		writeError(w, status, message)
		return nil
	}
	return withOperator(r, by)
}

// asksForPage reports whether a browser asks for a page.
func asksForPage(r *http.Request) bool { return readsPages(r) && pages.Shows(r.URL.Path) }

// readsPages reports whether a request comes from who reads pages, as a browser does when somebody leads it.
func readsPages(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// named reports whether a request asks for this listener by a name that it has.
func (h *Handler) named(r *http.Request) bool {
	name := hostName(r.Host)
	return local(name) || h.ownName(strings.TrimSuffix(name, "."))
}

// changes keeps pages of other sites from changing anything. A form can send neither this type nor, from a browser of today,
// anything.
func (h *Handler) changes(r *http.Request) (status int, message string) {
	if h.origins.Check(r) != nil {
		return http.StatusForbidden, "a page of another site may not do this"
	}
	if r.Method != http.MethodPost || pages.TakesForms(r.URL.Path) {
		return 0, "" // the path says what it takes
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return http.StatusUnsupportedMediaType, "the Content-Type must be application/json"
	}
	return 0, ""
}

// hostName returns the name or address in a Host header, in lower case and without port and brackets.
func hostName(host string) string {
	name := strings.ToLower(host)
	if i := strings.LastIndexByte(name, ':'); i >= 0 && (strings.Count(name, ":") == 1 || strings.HasSuffix(name[:i], "]")) {
		name = name[:i]
	}
	return strings.Trim(name, "[]")
}

// local reports whether a name can only be meant for this machine or its network: an address, or a name that the public DNS
// does not have. One that ends in a dot is of the public DNS, which has names of one label, too.
func local(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost")
}
