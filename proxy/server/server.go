// Package server wires the proxy's parts into one that runs: store, upstreams, service, the listener for clients and the one
// for operators.
package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/chunkstore/claim"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/replicas"
	"github.com/strata-oci/strata/proxy/service"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/proxy/upstream"
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
	work     string // the directory for temporary files
	metrics  *metrics.Metrics
	upstream *upstream.Client
	redis    *replicas.Conn // nil where there is none
	watcher  *watch.Watcher
	service  *service.Service
	upkeep   *upkeep.Keeper
	usage    *upkeep.Usage
	admin    *admin.Handler
	clients  listener
	operator listener
	senders  *senders
	claims   []*claim.Claim // of the store's and the working directory
	closing  atomic.Bool

	live      atomic.Pointer[config.Config] // the newest one
	load      func() (*config.Config, []string, error)
	reloading sync.Mutex
	gate      clientGate
	operators operatorGate
}

// New opens the store and makes the parts. Nothing listens yet.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cfg, log := o.Config, o.Logger
	s := &Server{cfg: cfg, log: log, level: o.Level, version: o.Version, load: o.Load, usage: upkeep.NewUsage(int64(cfg.Quota)), senders: newSenders(spare())}
	s.live.Store(cfg)
	chunks, storeClaim, err := openStore(ctx, cfg, s.usage, log)
	if err != nil {
		return nil, err
	}
	s.claims = append(s.claims, storeClaim)
	work, workClaim, err := openWork(cfg, log)
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.work, s.claims = work, append(s.claims, workClaim)
	gatherer := prometheus.NewRegistry()
	s.metrics = metrics.New(gatherer, cfg.Hosts()...)
	s.metrics.BuildInfo(o.Version)
	s.metrics.Reloaded(true, time.Now())
	if s.upstream, err = upstream.New(upstreamOptions(cfg, o.Version, log, s.metrics)); err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.metrics.WatchUpstreams(gatherer, s.upstreamStates)
	first := &next{cfg: cfg}
	if err := first.prepareAccess(work, log); err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.gate, s.operators = clientGate{newSwap(first.gate)}, operatorGate{newSwap(first.operators)}
	var leases *lease.Leases
	if s.redis, leases, err = openRedis(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, s.release())
	}
	var counters pulls.Counters // records by default
	if leases != nil {
		counters = pulls.NewLeased(pulls.NewRecorded(chunks), leases)
	}
	names := name.Parser{DefaultUpstream: cfg.DefaultUpstream}
	s.service = service.New(service.Options{
		Chunks: chunks, Upstream: s.upstream, Rules: s, Metrics: s.metrics, WorkDir: work, WorkBytes: int64(cfg.WorkBytes), Jobs: cfg.Jobs, Version: o.Version,
		Names: names, Storage: storageName(cfg), Logger: log,
		Leases: leases, Counters: counters, Redis: s.watchRedis(gatherer, s.metrics), RecordAge: recordAge,
	})
	s.upkeep = s.keeper(chunks, storeClaim)
	s.admin = admin.New(admin.Options{
		Keeper: s.upkeep, Status: s.service.Operator(), Warmer: s.service.Operator(), Gatherer: gatherer, ShuttingDown: s.closing.Load, Logger: log,
		Checks: []admin.Check{{Name: "storage", Run: chunks.Check}}, Login: s.operators, Reload: s.reload(),
		AnyHost: func() bool { return s.live.Load().Admin.Insecure },
	})
	members := s.service.Members(func() bool { return len(s.live.Load().Access.Rules) > 0 })
	var redirects registry.Redirects
	if cfg.Redirect {
		redirects = members
	}
	handler := registry.New(registry.Options{
		Redirects: redirects,
		Manifests: members, Blobs: members, Listings: s.service, Referrers: s.service, Names: names, Logger: log,
		Access: s.gate,
	})
	s.clients = newListener(registry.AccessLog(bounded(handler, s.live.Load), log, s.observe), cfg, log)
	s.clients.start(first.clientCerts, clientLimits(cfg))
	s.operator = newListener(s.admin, cfg, log)
	s.operator.start(first.operatorCerts, operatorLimits(cfg))
	if s.operator.Handler, err = s.startWatch(cfg, leases, s.admin, log); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

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
		s.service.Pulls().Layer(q.Digest)
	}
	if q.Origin == "" {
		return
	}
	kind := metrics.KindBlob
	if q.Route == registry.RouteManifest {
		kind = metrics.KindManifest
	}
	s.metrics.Sent(kind, metrics.Origin(q.Origin), q.Bytes)
	if q.Origin == registry.FromUpstream {
		s.metrics.Miss(kind)
	} else {
		s.metrics.Hit(kind)
	}
}
