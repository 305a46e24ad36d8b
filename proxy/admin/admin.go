// Package admin is the listener for operators: health, metrics, a JSON API and pages.
//
//	GET  /livez                      the process is up
//	GET  /readyz                     it can serve; 503 and what fails if not, or while it shuts down
//	GET  /metrics                    for Prometheus
//	GET  /api/v1/status              operate.StatusReport
//	GET  /api/v1/repositories        RepositoryList
//	GET  /api/v1/repositories/NAME   operate.RepositoryDetail; NAME is host/path
//	GET  /api/v1/jobs                JobList
//	GET  /api/v1/deltas              operate.DeltaReport
//	GET  /api/v1/updates             compare.Deltas: what an update costs; ?from=IMAGE&to=IMAGE[&platform=OS/ARCH]
//	POST /api/v1/warm                WarmRequest; 202 and a WarmAccepted, or with ?wait=1
//	                                 an operate.WarmEvent a line until all is done
//	POST /api/v1/gc                  GCRequest; an UpkeepEvent a line, the last one with a upkeep.GCReport
//	POST /api/v1/release             ReleaseRequest; ReleaseReport
//	POST /api/v1/hold, /rollback     RolloutRequest; operate.RolloutReport
//	POST /api/v1/reload              an empty document; ReloadReport
//	POST /api/v1/scrub               ScrubRequest; likewise, with a upkeep.ScrubReport
//	POST /api/v1/prune               PruneRequest; likewise, with a upkeep.PruneReport
//	GET  /api/v1/client-config       hosts.Proxy: what hosts need to know of this proxy
//	GET  /client-config              the files that a host needs, as text: ?host=NAME&image=IMAGE…, &no-fallback=1
//	GET  /, /repositories, …         the operators' pages: package pages
//
// Sizes in documents are bytes, times are seconds, timestamps RFC 3339. Keys stay; new ones may come. An error is a document
// {"error": "…"}. Without a Login, the listener belongs on an address that only operators reach. Pages of other sites can
// neither read it nor post to it. Health is for everybody, what is wrong for operators.
package admin

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strata-oci/strata/proxy/admin/session"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/savings"
)

// Status tells what the proxy has and does. It is safe for concurrent use.
type Status interface {
	// Status returns the totals.
	Status(ctx context.Context) (operate.StatusReport, error)
	// Repositories returns all repositories, sorted by name.
	Repositories(ctx context.Context) ([]operate.RepositoryReport, error)
	// Repository returns one repository, or operate.ErrNotFound.
	Repository(ctx context.Context, name string) (*operate.RepositoryDetail, error)
	// Image returns an image that was made here, by its digest, or operate.ErrNotFound.
	Image(ctx context.Context, digest string) (*operate.VersionDetail, error)
	// Jobs returns the running jobs and those that ended lately, newest first.
	Jobs(ctx context.Context) []operate.JobReport
	// Deltas returns what is made for other Stratas, the latest first.
	Deltas(ctx context.Context) operate.DeltaReport
}

// Warmer pulls images through before clients ask for them. It is safe for concurrent use.
type Warmer interface {
	// Warm makes the proxy ready to serve a reference, "host/path:tag" or "host/path@digest". It returns when that is done
	// or has failed. It may call progress from any goroutine until it returns; progress does not block.
	Warm(ctx context.Context, ref string, progress func(operate.WarmEvent)) error
}

// Updates tells what updates cost and bring. It is safe for concurrent use.
type Updates interface {
	// Update returns what an update between two images costs, "host/path:tag", "host/path@digest" or a digest, and with
	// contents what is new in it, or an error that wraps operate.ErrNotFound.
	Update(ctx context.Context, from, to, platform string, contents bool) (*operate.Update, error)
}

// Options are the parts of a Handler.
type Options struct {
	// Status is required.
	Status Status
	// Warmer may be nil; then there is nothing to warm with, and asking gives 501.
	Warmer Warmer
	// Updates may be nil; then asking what one costs gives 501.
	Updates Updates
	// Keeper may be nil; then asking for upkeep gives 501.
	Keeper Keeper
	// Checks decide whether the proxy is ready.
	Checks []Check
	// CheckTimeout bounds each check; 0 means five seconds.
	CheckTimeout time.Duration
	// Gatherer has the metrics; nil means none.
	Gatherer prometheus.Gatherer
	// ShuttingDown, if set, tells that the proxy should get no new clients.
	ShuttingDown func() bool
	// WarmConcurrency is how many references are warmed at once; 0 means two.
	WarmConcurrency int
	// Login lets operators in; nil lets everybody in.
	Login Login
	// Refused is told of each request that is not let in though there was something to log in with; nil: nobody.
	Refused func(r *http.Request, way Way)
	// OwnName reports whether a name, in lower case and without a port, is one of the listener's. Without, and for all other
	// names, it has to be an address or a name that no site of the public DNS can have. Nil: none is.
	OwnName func(host string) bool
	// Reload has the proxy take over its configuration anew and returns that one's warnings; nil: there is no such thing.
	Reload func(context.Context) (warnings []string, err error)
	// Release lets a tag go back to the earlier image that its upstream names, and returns its digest; errors wrap
	// operate.ErrNothingToRelease or operate.ErrReference. Nil: there is no such thing.
	Release func(ctx context.Context, reference string) (source string, err error)
	// Rollouts may be nil; then asking to change one gives 501.
	Rollouts Rollouts
	// Fleet tells which hosts got what, of all tags or of one, "host/path:tag"; errors wrap those of package fleet.
	Fleet func(reference string) (*fleet.Report, error)
	// Host tells what one host got, named by its address, login or certificate; of one tag, unless reference is empty.
	Host func(named, reference string) (*fleet.Report, error)
	// Savings tells what pulls took and would have taken of the sources, of all repositories or of one; nil: nobody knows.
	Savings func(ctx context.Context, repository string) (*savings.Report, error)
	// Hosts tells what hosts need to know of the proxy; nil: nothing is known.
	Hosts func() hosts.Proxy
	// Panicked is told where a panic was caught; nil: nobody.
	Panicked func(where string)
	// Logger is told about failures that no client hears of; nil discards them.
	Logger *slog.Logger
}

// Handler serves the admin listener. Close it after the server that uses it.
type Handler struct {
	status   Status
	checks   []*check
	closing  func() bool
	warm     *warmTasks
	keeper   Keeper
	updates  Updates
	origins  *http.CrossOriginProtection
	login    Login
	refused  func(*http.Request, Way)
	ownName  func(host string) bool
	reload   func(context.Context) ([]string, error)
	release  func(context.Context, string) (string, error)
	rollouts Rollouts
	fleet    func(string) (*fleet.Report, error)
	host     func(named, reference string) (*fleet.Report, error)
	savings  func(context.Context, string) (*savings.Report, error)
	hosts    func() hosts.Proxy
	sessions *session.Sessions
	log      *slog.Logger
	mux      *http.ServeMux
	paths    []string // of mux, "METHOD /path"

	work *background.Group // what outlives its request
}

// statusTimeout bounds what a request for a report may take.
const statusTimeout = 30 * time.Second

// New returns a handler.
func New(o Options) *Handler {
	h := &Handler{
		status: o.Status, closing: o.ShuttingDown, origins: http.NewCrossOriginProtection(), log: o.Logger,
		keeper: o.Keeper, updates: o.Updates, mux: http.NewServeMux(), sessions: session.New(time.Now),
	}
	h.login, h.refused, h.ownName, h.reload = o.Login, o.Refused, o.OwnName, o.Reload
	h.release, h.rollouts = o.Release, o.Rollouts
	h.hosts, h.fleet, h.host, h.savings = o.Hosts, o.Fleet, o.Host, o.Savings
	if h.host == nil {
		h.host = func(string, string) (*fleet.Report, error) { return nil, fleet.ErrOff }
	}
	if h.fleet == nil {
		h.fleet = func(string) (*fleet.Report, error) { return nil, fleet.ErrOff }
	}
	if h.refused == nil {
		h.refused = func(*http.Request, Way) {}
	}
	if h.hosts == nil {
		h.hosts = func() hosts.Proxy { return hosts.Proxy{} }
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.ownName == nil {
		h.ownName = func(string) bool { return false }
	}
	h.work = background.New(background.Options{Logger: h.log, Panicked: o.Panicked})
	if h.closing == nil {
		h.closing = func() bool { return false }
	}
	for _, c := range o.Checks {
		h.checks = append(h.checks, newCheck(c, o.CheckTimeout))
	}
	if o.Warmer != nil {
		h.warm = newWarmTasks(o.Warmer, o.WarmConcurrency, h.work)
	}
	h.routes(o.Gatherer)
	return h
}

// handle has a path answered, for these methods. All are noted, so that the description of the API lacks none.
func (h *Handler) handle(path string, f http.HandlerFunc, methods ...string) {
	for _, m := range methods {
		if m != http.MethodHead {
			h.paths = append(h.paths, m+" "+path)
		}
	}
	h.mux.Handle(path, only(f, methods...))
}

// NotificationsPath is where registries tell of pushes. What takes them stands before the Handler, since it has a secret of
// its own in place of operators' logins.
const NotificationsPath = "/api/v1/notifications"

func (h *Handler) routes(metrics prometheus.Gatherer) {
	get := func(path string, f http.HandlerFunc) { h.handle(path, f, http.MethodGet, http.MethodHead) }
	post := func(path string, f http.HandlerFunc) { h.handle(path, f, http.MethodPost) }
	get("/livez", h.livez)
	get("/readyz", h.readyz)
	get("/api/v1/openapi.json", takes(getOpenAPI))
	get("/api/v1/status", takes(h.getStatus))
	get("/api/v1/repositories", takes(h.getRepositories))
	get("/api/v1/repositories/{name...}", takes(h.getRepository))
	get("/api/v1/jobs", takes(h.getJobs))
	get("/api/v1/deltas", takes(h.getDeltas))
	get("/api/v1/updates", takes(h.getUpdate, "from", "to", "platform", "contents", "format"))
	get("/api/v1/fleet", takes(h.getFleet, "reference", "who"))
	get("/api/v1/savings", takes(h.getSavings, "repository"))
	get("/api/v1/client-config", takes(h.getProxy))
	get("/client-config", takes(h.getClientConfig, "host", "image…", "no-fallback"))
	post("/api/v1/warm", takes(h.postWarm, "wait"))
	post("/api/v1/gc", takes(h.postGC))
	post("/api/v1/hold", takes(h.postHold))
	post("/api/v1/alerts", takes(h.postAlerts, "reference"))
	post("/api/v1/rollback", takes(h.postRollback))
	post("/api/v1/release", takes(h.postRelease))
	post("/api/v1/reload", takes(h.postReload))
	post("/api/v1/scrub", takes(h.postScrub))
	post("/api/v1/prune", takes(h.postPrune))
	if metrics != nil {
		get("/metrics",
			promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 8, Timeout: statusTimeout}).ServeHTTP)
	}
	h.profiles()
	h.showPages()
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("X-Content-Type-Options", "nosniff")
	r = h.sessions.Restore(r)
	err := h.work.Catch(r.Context(), "operators' request", func() error {
		if r := h.guard(w, r); r != nil {
			h.mux.ServeHTTP(w, r)
		}
		return nil
	})
	if err != nil {
		writeError(w, http.StatusInternalServerError, "the proxy met a mistake of its own; its log has the details")
	}
}

// Close ends the warming that no request waits for, and returns when nothing that the handler started runs any more.
func (h *Handler) Close() {
	_ = h.work.Close(context.Background()) // which ends only when the work has
}
