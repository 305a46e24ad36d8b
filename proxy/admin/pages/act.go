package pages

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// done is what a form did, by a word in the link that the browser is sent to.
var done = map[string]string{
	"hold": "The roll-out is held.", "release": "The roll-out goes on.", "release-all": "All hosts get the newest version.",
	"rollback": "All hosts get the version before again.", "warm": "It is being pulled: the job shows below.",
}

func told(did string) string { return done[did] }

// act does what a form asks for, and sends the browser back to the page that the form was on.
func (h *Handler) act(w http.ResponseWriter, r *http.Request) {
	if !h.formOf(w, r) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
	defer cancel()
	f := r.PostForm
	reference, reason, by := f.Get("reference"), strings.TrimSpace(f.Get("reason")), h.Operator(r)
	did, back := r.PathValue("action"), pageOf(reference)
	var err error
	switch did {
	case "hold":
		err = h.Actions.Hold(ctx, reference, by, reason)
	case "rollback":
		err = h.Actions.Rollback(ctx, reference, by, reason)
	case "release":
		all := f.Get("all") == "1"
		if all {
			did = "release-all"
		}
		err = h.Actions.Release(ctx, reference, by, all)
	case "warm":
		back, err = "/jobs", h.Actions.Warm(reference)
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		h.write(w, &view{template: "failed", status: http.StatusConflict},
			&document{Title: "Not done", Token: h.Sessions.Token(r), LoggedIn: h.Sessions.Has(r), Body: err.Error()})
		return
	}
	http.Redirect(w, r, back+"?"+url.Values{"did": {did}}.Encode(), http.StatusSeeOther)
}
