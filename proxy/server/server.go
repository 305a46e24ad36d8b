// Package server wires the proxy's parts into one that runs: store, upstreams, service, the listener for clients and the one
// for operators.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/claim"
	"github.com/strata-oci/strata/proxy/access"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/edge/encoder"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/replicas"
	"github.com/strata-oci/strata/proxy/server/wiring"
	"github.com/strata-oci/strata/proxy/tracing/export"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/proxy/watch"
)

// Options are what a Server is made of. Config is needed; it is complete, as config.Load gives it.
type Options struct {
	Config *config.Config
	// Version is that of the program.
	Version string
	// Logger hears of everything, requests included; nil discards it.
	Logger *slog.Logger
	// Level is the least severity that Logger logs, which a new configuration sets; nil leaves it.
	Level *slog.LevelVar
	// Load reads the configuration again, with its warnings, for Reload. Nil: there is no reloading.
	Load func() (*config.Config, []string, error)
}

// Server is a proxy. Methods are called once each, in the order New, Listen, Serve; Close only where Serve was not called.
type Server struct {
	cfg      *config.Config // of the start
	log      *slog.Logger
	level    *slog.LevelVar
	version  string
	self     string // what requests of this process say in Via, where it could be led here
	work     string // the directory for temporary files
	metrics  *metrics.Metrics
	upstream *client.Client
	redis    *replicas.Conn // nil where there is none
	watcher  *watch.Watcher
	rooms    *wiring.Rooms
	upkeep   *upkeep.Keeper
	usage    *upkeep.Usage
	admin    *admin.Handler
	clients  listener
	operator listener
	senders  *senders
	traces   *export.Traces // nil where there are none
	claims   []*claim.Claim // of the store's and the working directory
	closing  atomic.Bool

	live      atomic.Pointer[config.Config] // the newest one
	load      func() (*config.Config, []string, error)
	reloading sync.Mutex
	gate      clientGate
	operators operatorGate
	refusals  *access.Refusals
}

// New opens the store and makes the parts. Nothing listens yet.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cfg, log := o.Config, o.Logger
	s := &Server{cfg: cfg, log: log, level: o.Level, version: o.Version, self: "strata-" + rand.Text(), load: o.Load,
		usage: upkeep.NewUsage(int64(cfg.Quota)), senders: newSenders(spare())}
	s.live.Store(cfg)
	if err := checkTrust(cfg); err != nil {
		return nil, err
	}
	m, err := s.gather(ctx)
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.rooms = s.newRooms(m)
	s.upkeep = s.keeper(m.chunks, m.claim)
	s.admin = s.newAdmin(m)
	s.clients = newListener(s.traces.Handler(registry.AccessLog(
		sharedOut(bounded(s.newRegistry(), s.live.Load), s.live.Load), log, s.observe)), cfg, log)
	s.clients.start(m.first.clientCerts, clientLimits(cfg))
	s.operator = newListener(s.admin, cfg, log)
	s.operator.start(m.first.operatorCerts, operatorLimits(cfg))
	s.metrics.WatchCertificates(m.gatherer, s.certificateEnds)
	s.metrics.WatchJobs(m.gatherer, func() int { return s.rooms.Jobs.Counts().Queued })
	operators, err := s.startWatch(cfg, m.leases, s.admin, log)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.operator.Handler = operated(operators, time.Duration(cfg.Limits.HeaderTimeout))
	return s, nil
}

// makings are what the parts of a Server are made of.
type makings struct {
	chunks   *chunkstore.Store
	space    chunkstore.Space // that the store may take
	claim    *claim.Claim     // of the store
	gatherer *prometheus.Registry
	first    *next
	leases   *lease.Leases // nil without Redis
	encoders *encoder.Encoders
}

// gather opens what the parts are made of. After an error, release frees what there is.
func (s *Server) gather(ctx context.Context) (*makings, error) {
	m := &makings{gatherer: prometheus.NewRegistry(), first: &next{cfg: s.cfg}}
	var err error
	m.space = within(s.cfg, s.usage, func() int64 { return int64(s.live.Load().MinFree) })
	if m.chunks, m.claim, err = openStore(ctx, s.cfg, m.space, s.log); err != nil {
		return nil, err
	}
	s.claims = append(s.claims, m.claim)
	if err := claimToServe(s.cfg, m.claim); err != nil {
		return nil, err
	}
	work, workClaim, err := openWork(s.cfg, s.log)
	if err != nil {
		return nil, err
	}
	s.work, s.claims = work, append(s.claims, workClaim)
	s.metrics = metrics.New(m.gatherer, s.cfg.Hosts()...)
	s.metrics.BuildInfo(s.version)
	s.refusals = access.NewRefusals(s.log, s.metrics.LoginRefused)
	s.metrics.Reloaded(true, time.Now())
	if s.upstream, err = client.New(s.upstreamOptions(s.cfg)); err != nil {
		return nil, err
	}
	s.metrics.WatchUpstreams(m.gatherer, s.upstreamStates)
	if s.traces, err = openTraces(ctx, s.cfg, s.version, s.log); err != nil {
		return nil, err
	}
	if err := m.first.prepareAccess(nil, s.log); err != nil {
		return nil, err
	}
	for _, w := range m.first.warningMessages {
		s.log.Warn("configuration", "warning", w)
	}
	s.gate, s.operators = clientGate{&atomic.Pointer[access.Gate]{}}, operatorGate{&atomic.Pointer[access.Operators]{}}
	s.gate.Store(m.first.gate)
	s.operators.Store(m.first.operators)
	m.encoders = encoder.New(ctx, encoder.Options{Parallel: max(s.cfg.Deltas.CPU, 1)})
	s.redis, m.leases, err = openRedis(ctx, s.cfg, s.log)
	return m, err
}

func (s *Server) newRooms(m *makings) *wiring.Rooms {
	var counters pulls.Counters // records by default
	if m.leases != nil {
		counters = pulls.NewLeased(pulls.NewRecorded(catalog.New(m.chunks, s.log).Pulls), m.leases)
	}
	store := storageName(s.cfg)
	store.Used, store.Room = s.usage.Used, m.space.Room
	return wiring.New(wiring.Options{
		Chunks: m.chunks, Upstream: s.upstream, Rule: s.Rule, Metrics: s.metrics,
		Ruled: s.ruled, Signing: s.signing,
		WorkDir: s.work, WorkBytes: int64(s.cfg.WorkBytes), Jobs: s.cfg.Jobs, Version: s.version,
		Names: s.names(), Store: store, Logger: s.log,
		Casync: func() config.Casync { return s.live.Load().Casync },
		Deltas: func() config.Deltas { return s.live.Load().Deltas }, Encoders: m.encoders, Edge: s.edge(),
		Leases: m.leases, Beside: m.claim.Lock, Fleet: s.fleet(),
		Counters: counters, Redis: s.watchRedis(m.gatherer, s.metrics), RecordAge: recordAge,
	})
}

func (s *Server) newAdmin(m *makings) *admin.Handler {
	return admin.New(admin.Options{
		Keeper: s.upkeep, Status: s.rooms.View, Warmer: tracedWarmer{s.rooms.Warmer, s.traces}, Gatherer: m.gatherer,
		ShuttingDown: s.closing.Load,
		Logger:       s.log,
		Checks:       []admin.Check{{Name: "storage", Run: m.chunks.Check}}, Login: s.operators, Reload: s.reload(),
		Refused: s.loginRefused,
		Release: s.rooms.Releaser.Release, Rollouts: s.rooms.Rollouts, Fleet: s.fleetReport, Host: s.fleetHost,
		Savings: s.rooms.Savings.Report,
		Updates: s.rooms.Updates,
		OwnName: s.operatorsName, Hosts: s.hostsProxy,
		Panicked: s.metrics.Panicked,
	})
}

// newRegistry makes what clients talk to.
func (s *Server) newRegistry() http.Handler {
	images := s.rooms.Images
	o := registry.Options{
		Manifests: images, Blobs: images, Deltas: s.rooms.Deltas, Chunks: s.rooms.Casync, Listings: s.rooms.Lists,
		Referrers: s.rooms.Lists,
		Names:     s.names(), Logger: s.log, Access: s.gate,
		Ruled: s.ruled, Panicked: func() { s.metrics.Panicked("request") },
		AnswersAs: func() []string { return s.live.Load().AnswerAs }, Self: s.self,
		Behind: func(host string) bool { return s.live.Load().Via(host) },
	}
	if s.rooms.Edge != nil {
		o.Ways = s.rooms.Edge
	}
	if s.cfg.Redirect {
		o.Redirects = images
	}
	return registry.New(o)
}

// ruled reports whether not everybody may pull everything, by the newest configuration.
func (s *Server) ruled() bool { return len(s.live.Load().Access.Rules) > 0 }

func (s *Server) names() name.Parser { return name.Parser{DefaultUpstream: s.cfg.DefaultUpstream} }

// reload is Reload, for operators; nil where there is none.
func (s *Server) reload() func(context.Context) ([]string, error) {
	if s.load == nil {
		return nil
	}
	return s.Reload
}

// release ends the connection to Redis and lets other processes clear up after this one.
func (s *Server) release() error {
	var err error
	if s.redis != nil {
		err = s.redis.Close()
	}
	for _, c := range s.claims {
		err = errors.Join(err, c.Release())
	}
	return err
}

// observe counts a client's request. Only answers with content have an origin.
func (s *Server) observe(q registry.Request) {
	s.metrics.Request(metrics.Route(q.Route), q.Method, q.Status, q.Duration)
	if q.Route != registry.RouteBlob {
		s.senders.asks()
	}
	if q.ToEnd {
		s.rooms.Tally.Layer(q.Digest)
	}
	if q.Route == registry.RouteManifest && q.Status == http.StatusOK && q.Digest != "" {
		s.saw(q)
	}
	if q.Origin == "" {
		return
	}
	kind := metrics.KindBlob
	if q.Route == registry.RouteManifest {
		kind = metrics.KindManifest
		if q.Method == http.MethodGet && q.Reference == registry.ByTag && q.Status == http.StatusOK {
			s.metrics.Pulled(q.Repository.String())
		}
	}
	s.metrics.Sent(kind, metrics.Origin(q.Origin), q.Bytes)
	if q.Origin == registry.FromUpstream {
		s.metrics.Miss(kind)
	} else {
		s.metrics.Hit(kind)
	}
}
