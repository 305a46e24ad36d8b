package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"syscall"

	"golang.org/x/sync/semaphore"

	"github.com/strata-oci/strata/proxy/limits"
	"github.com/strata-oci/strata/proxy/name"
)

const (
	headerDigest   = "Docker-Content-Digest"
	headerFilters  = "Oci-Filters-Applied"
	headerDeniedBy = "Strata-Denied-By"
	headerServed   = "Strata-Served"
	headerSource   = "Strata-Source-Digest"
	headerVersion  = "Docker-Distribution-Api-Version"
	headerRollout  = "Strata-Rollout"
)

// Options are what a registry is made of.
type Options struct {
	Manifests Manifests
	Blobs     Blobs
	// Listings and Referrers may be nil: their routes then answer 404, upon which clients fall back to the referrers tag.
	Listings  Listings
	Referrers Referrers
	Names     name.Parser
	// AnswersAs returns the registries, by their hosts in canonical form, that requests mean which arrive for these
	// hosts. Nil: there are none.
	AnswersAs func() []string
	// Self is what this process writes into the Via header of its own requests; empty: nothing.
	Self string
	// Behind reports whether a registry's images come from another Strata; nil: none do.
	Behind func(host string) bool
	// Ways may be nil where none do, or where nobody is to find out that they wait for each other.
	Ways Ways
	// Redirects may be nil: then blobs are served here.
	Redirects Redirects
	// Deltas may be nil: then none are made.
	Deltas Deltas
	// Chunks may be nil: then images are not served as such.
	Chunks Chunks
	// Access may be nil: then everybody may pull everything.
	Access Access
	// Logger gets what clients are not told: the causes of errors with a status of 500 and more, and of bodies that broke
	// off. Nil drops them.
	Logger *slog.Logger
	// MaxPage bounds how many names a list has, 10,000 when zero. A list that is cut links to the next one.
	MaxPage int
	// Ruled reports whether not everybody may pull everything: shared caches must not keep content then. Nil: everybody may.
	Ruled func() bool
	// Panicked is told of each panic that cost a request; nil: nobody.
	Panicked func()
}

type handler struct {
	Options
	large *semaphore.Weighted // of largeSent
}

// New returns a handler for all paths that start with /v2; others it answers with 404. It is safe for concurrent use. Do not
// put it behind an http.ServeMux, which redirects paths that it holds for unclean; docs/protocol.md says what it answers.
func New(o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxPage <= 0 {
		o.MaxPage = defaultMaxPage
	}
	if o.Ruled == nil {
		o.Ruled = func() bool { return false }
	}
	if o.AnswersAs == nil {
		o.AnswersAs = func() []string { return nil }
	}
	if o.Behind == nil {
		o.Behind = func(string) bool { return false }
	}
	if o.Panicked == nil {
		o.Panicked = func() {}
	}
	return &handler{Options: o, large: semaphore.NewWeighted(largeSent)}
}

// ServeHTTP answers one request. It panics with http.ErrAbortHandler, which net/http takes for closing the connection, when
// a body cannot be finished or the client has left.
func (h *handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &response{ResponseWriter: rw, private: h.Ruled()}
	w.Header().Set(headerVersion, "registry/2.0")
	forBrowsers(w.Header())
	defer h.recovered(w, r)
	if err := h.serve(w, r); err != nil {
		h.fail(w, r, err)
	}
}

// serve checks what all routes have in common and calls the one for the path.
func (h *handler) serve(w *response, r *http.Request) error {
	info := requestInfo(r)
	info.Route = RouteUnknown
	if e := checkLimits(r); e != nil {
		return e
	}
	t := parsePath(r.URL.Path)
	if !ours(r.URL.Path) {
		return NotFound("the registry API is at /v2/")
	}
	info.Route = t.route
	if t.route == RouteDelta && r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		return Unsupported("deltas are there for GET alone")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead || t.route == RouteUpload {
		w.Header().Set("Allow", "GET, HEAD")
		return Unsupported("this registry is read-only: it takes GET and HEAD, and no uploads")
	}
	if escaped(r) {
		return NameInvalid("percent-escapes are not accepted in paths")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &Error{Status: http.StatusBadRequest, Code: codeUnsupported, Message: "the query cannot be decoded", Err: err}
	}
	as, err := h.arrivedFor(r)
	if err != nil {
		return err
	}
	r = r.WithContext(withVia(r))
	switch t.route {
	case RouteBase:
		return h.base(w, r, as)
	case RouteDelta:
		return h.delta(w, r, query)
	case RouteCatalog:
		return h.catalog(w, r, as, query)
	case RouteUnknown:
		return NotFound("the registry API has no such path")
	}
	return h.serveNamed(w, r, as, t, query)
}

// serveNamed answers the routes that name a repository.
func (h *handler) serveNamed(w *response, r *http.Request, as string, t target, query url.Values) error {
	repo, err := h.repository(as, t.name, query["ns"])
	if err != nil {
		return err
	}
	requestInfo(r).Repository = repo
	if err := h.loop(r, repo); err != nil {
		return err
	}
	grant, err := h.authorize(w, r, wanted(as, t.name, repo, query["ns"]))
	if err != nil {
		return err
	}
	r = r.WithContext(WithClient(r.Context(), Client{User: grant.User, Address: limits.Peer(r.RemoteAddr)}))
	err = h.unlessLedBack(w, r, repo, func(r *http.Request) error { return h.serveRepository(w, r, t, repo, query) })
	if as == "" && len(query["ns"]) == 0 {
		err = meant(err, h.Names.Defaulted(t.name, repo))
	}
	return err
}

// meant adds to an error of what is not there what its name was taken for, unless the name says it.
func meant(err error, defaulted string) error {
	var e *Error
	if defaulted == "" || !errors.As(err, &e) || e.Status != http.StatusNotFound && e.Status != http.StatusForbidden {
		return err
	}
	said := *e
	said.Message += "; " + defaulted
	return &said
}

// serveRepository answers the routes that belong to a repository.
func (h *handler) serveRepository(w *response, r *http.Request, t target, repo name.Repository, query url.Values) error {
	switch t.route {
	case RouteManifest:
		return h.manifest(w, r, repo, t.reference)
	case RouteBlob:
		return h.blob(w, r, repo, t.reference)
	case RouteReferrers:
		return h.referrers(w, r, repo, t.reference, query)
	case RouteChunkIndex:
		return h.chunkIndex(w, r, repo, t.reference, query)
	case RouteChunk:
		return h.chunk(w, r, repo, t.reference, query)
	default:
		return h.tags(w, r, t.name, repo, query)
	}
}

// fail ends a request that met an error: with its document, or, where that is too late or nobody would read it, by closing
// the connection.
func (h *handler) fail(w *response, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		panic(http.ErrAbortHandler)
	}
	e := classify(err)
	switch {
	case w.status != 0:
		level := slog.LevelError
		if connectionLost(err) && !errors.Is(err, errBlobRead) {
			level = slog.LevelDebug
		}
		h.Logger.Log(r.Context(), level, "answer broke off", "method", r.Method, "path", r.URL.Path, "sent", w.bytes,
			"error", err)
		panic(http.ErrAbortHandler)
	case e.Status >= 500:
		h.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "status", e.Status, "error", err)
	case e.Err != nil:
		h.Logger.Debug("request refused", "method", r.Method, "path", r.URL.Path, "status", e.Status, "error", err)
	}
	WriteError(w, r, e)
}

// connectionLost reports whether an error comes from a client that no longer listens.
func connectionLost(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded)
}

// recovered, when deferred, keeps a panic from the client and reports it.
func (h *handler) recovered(w *response, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	h.panicked(r, p)
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	WriteError(w, r, internal(nil))
}

// panicked reports a panic from where it was recovered.
func (h *handler) panicked(r *http.Request, p any) {
	h.Panicked()
	h.Logger.Error("panic", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
