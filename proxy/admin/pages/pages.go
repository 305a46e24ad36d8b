// Package pages are the operators' pages: HTML that is whole without scripts, made on the server of the reports that the API
// gives, too. A script keeps them up to date and adds keys.
//
//	GET  /                          overview: what is wrong, what was saved, roll-outs, upstreams, what is at work
//	GET  /repositories              all of them; ?q=, sort=, page=
//	GET  /repositories/NAME[:TAG]   one repository, tag or family
//	GET  /versions/DIGEST           an image that was made here; ?changes=1 says what is new in it
//	GET  /jobs, /fleet, /deltas     what is at work and what failed; who runs what; deltas from and to other Stratas
//	GET  /setup                     the files that a host needs
//	GET  /events?page=PATH          server-sent events: "changed" when the page would look different
//	GET  /login, POST /login        begins a session; POST /logout ends it
//	POST /do/ACTION                 hold, release, rollback, warm: forms of the pages
//	GET  /assets/NAME               the style sheet and the script
//
// Nothing is loaded from elsewhere, and nothing is inline: the policy forbids it (Policy). What comes from reports is
// escaped by html/template.
package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/admin/session"
	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/savings"
)

// Reports are what pages show. They are safe for concurrent use.
type Reports interface {
	// Repositories returns all repositories, sorted by name.
	Repositories(ctx context.Context) ([]operate.RepositoryReport, error)
	// Repository returns one repository, tag or family, or operate.ErrNotFound.
	Repository(ctx context.Context, name string) (*operate.RepositoryDetail, error)
	// Image returns an image that was made here, by its digest, or operate.ErrNotFound.
	Image(ctx context.Context, digest string) (*operate.VersionDetail, error)
	// Deltas returns what is made for other Stratas, the latest first.
	Deltas(ctx context.Context) operate.DeltaReport
}

// Actions are what forms do. References are "host/path:tag", by names who asked.
type Actions interface {
	Hold(ctx context.Context, reference, by, reason string) error
	Release(ctx context.Context, reference, by string, all bool) error
	Rollback(ctx context.Context, reference, by, reason string) error
	// Warm begins to make the proxy ready to serve a reference, and does not wait.
	Warm(reference string) error
}

// Options are the parts of a Handler; all are needed but for those of which it says otherwise.
type Options struct {
	Reports Reports
	// Status returns the totals, with the store's upkeep.
	Status func(ctx context.Context) (operate.StatusReport, error)
	// Ready says why the proxy cannot serve; "" while it can.
	Ready func(ctx context.Context) string
	// Jobs returns those at work and those that ended lately.
	Jobs func(ctx context.Context) []operate.JobReport
	// Fleet tells which hosts got what, of all tags or of one; errors wrap those of package fleet.
	Fleet func(reference string) (*fleet.Report, error)
	// Savings tells what pulls took and would have taken of the sources, of all repositories or of one, "host/path"; nil:
	// nobody knows. What it returns is not changed.
	Savings func(ctx context.Context, repository string) (*savings.Report, error)
	// Update tells what an update from one image to another costs and brings; errors wrap operate.ErrNotFound.
	Update func(ctx context.Context, from, to, platform string) (*operate.Update, error)
	// Hosts tells what hosts need to know of the proxy.
	Hosts   func() hosts.Proxy
	Actions Actions
	// Operator names who asks, for logs.
	Operator func(r *http.Request) string
	Sessions *session.Sessions
	// Login checks an Authorization header that a browser was given, as if the request had come with it: the status of the
	// answer and what it says, or 0. Nil: nobody has to log in.
	Login func(w http.ResponseWriter, r *http.Request) (status int, message string)
	// Ending is closed when the listener ends, and with it what waits for events.
	Ending <-chan struct{}
	Now    func() time.Time
}

// Handler shows the pages.
type Handler struct {
	Options
	templates templates
	assets    map[string]asset
	live      *live
}

// New returns a handler.
func New(o Options) *Handler {
	h := &Handler{Options: o, templates: parseTemplates(o.Now), assets: readAssets()}
	h.live = newLive(h)
	return h
}

// Routes calls handle with each path and what answers GET and POST there; nil: nothing does.
func (h *Handler) Routes(handle func(path string, get, post http.HandlerFunc)) {
	handle("/{$}", h.page(h.overview), nil)
	handle("/repositories", h.page(h.repositories), nil)
	handle("/repositories/{name...}", h.withoutSlash(h.page(h.repository)), nil)
	handle("/versions/{digest}", h.page(h.version), nil)
	handle("/jobs", h.page(h.jobs), nil)
	handle("/fleet", h.page(h.fleet), nil)
	handle("/deltas", h.page(h.deltas), nil)
	handle("/setup", h.page(h.setup), nil)
	handle("/events", h.live.serve, nil)
	handle("/assets/{name}", h.asset, nil)
	handle("/login", h.showLogin, h.login)
	handle("/logout", nil, h.logout)
	handle("/do/{action}", nil, h.act)
}

// Missing answers browsers where no page is: with the one that was meant, where a slash at its end is all that differs.
func (h *Handler) Missing(w http.ResponseWriter, r *http.Request) {
	h.withoutSlash(h.page(func(context.Context, *http.Request, *operate.StatusReport) (*view, error) {
		return nil, fmt.Errorf("%w: there is no page at %s", operate.ErrNotFound, r.URL.Path)
	}))(w, r)
}

// withoutSlash leads to the path without the slash at its end, where that is a page's.
func (h *Handler) withoutSlash(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		to := url.URL{Path: strings.TrimRight(r.URL.Path, "/"), RawQuery: r.URL.RawQuery}
		if to.Path != r.URL.Path && to.Path != "" && Shows(to.Path) {
			http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
			return
		}
		next(w, r)
	}
}

// ForEverybody reports whether a path is shown to who has not logged in: what logging in takes.
func ForEverybody(path string) bool {
	return path == "/login" || path == "/assets/"+styleName || path == "/assets/"+scriptName
}

// Shows reports whether a path is a page, so that who has not logged in is shown how to.
func Shows(path string) bool {
	switch path {
	case "/", "/repositories", "/jobs", "/fleet", "/deltas", "/setup":
		return true
	}
	return strings.HasPrefix(path, "/repositories/") || strings.HasPrefix(path, "/versions/")
}

// TakesForms reports whether a path takes forms, which the pages check for tokens of their own.
func TakesForms(path string) bool {
	switch path {
	case "/login", "/logout", "/do/hold", "/do/release", "/do/rollback", "/do/warm":
		return true
	}
	return false
}
