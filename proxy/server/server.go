// Package server wires the proxy's parts into one that runs: store, upstreams, service, the listener for clients and the one
// for operators.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
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
}

// Server is a proxy. Methods are called once each, in the order New, Listen, Serve; Close only where Serve was not called.
type Server struct {
	cfg      *config.Config
	log      *slog.Logger
	metrics  *metrics.Metrics
	upstream *upstream.Client
	redis    *replicas.Conn // nil where there is none
	watcher  *watch.Watcher
	service  *service.Service
	upkeep   *upkeep.Keeper
	admin    *admin.Handler
	clients  listener
	operator listener
	gate     *gates
	claims   []*claim.Claim // of the store's and the working directory
	closing  atomic.Bool
}

// listener is an HTTP server with the socket that it answers on.
type listener struct {
	*http.Server
	socket net.Listener
	certs  *certificates // nil: plain HTTP
}

// New opens the store and makes the parts. Nothing listens yet.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cfg, log := o.Config, o.Logger
	s := &Server{cfg: cfg, log: log}
	chunks, storeClaim, err := openStore(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	s.claims = append(s.claims, storeClaim)
	work, workClaim, err := openWork(cfg, log)
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.claims = append(s.claims, workClaim)
	gatherer := prometheus.NewRegistry()
	s.metrics = metrics.New(gatherer, cfg.Hosts()...)
	s.metrics.BuildInfo(o.Version)
	if s.upstream, err = upstream.New(upstreamOptions(cfg, o.Version, log, s.metrics)); err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.metrics.WatchUpstreams(gatherer, s.upstreamStates)
	if s.gate, err = newGates(cfg, work, log); err != nil {
		return nil, errors.Join(err, s.release())
	}
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
		Chunks: chunks, Upstream: s.upstream, Rules: cfg, Metrics: s.metrics, WorkDir: work, Jobs: cfg.Jobs, Version: o.Version,
		Names: names, Storage: storageName(cfg), Logger: log,
		Leases: leases, Counters: counters, Redis: s.watchRedis(gatherer, s.metrics),
	})
	s.upkeep = s.keeper(chunks, storeClaim)
	s.admin = admin.New(admin.Options{
		Keeper: s.upkeep, Status: s.service.Operator(), Warmer: s.service.Operator(), Gatherer: gatherer, ShuttingDown: s.closing.Load, Logger: log,
		Checks: []admin.Check{{Name: "storage", Run: chunks.Check}},
	})
	var redirects registry.Redirects
	if cfg.Redirect {
		redirects = s.service
	}
	handler := registry.New(registry.Options{
		Redirects: redirects,
		Manifests: s.service, Blobs: s.service, Listings: s.service, Referrers: s.service, Names: names, Logger: log,
		Access: s.gate,
	})
	s.clients = listener{Server: httpServer(registry.AccessLog(handler, log, s.observe), log)}
	s.operator = listener{Server: httpServer(s.admin, log)}
	if s.operator.Handler, err = s.startWatch(cfg, leases, s.admin, log); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	err = errors.Join(s.clients.secure("tls", cfg.TLS, log), s.operator.secure("admin.tls", cfg.Admin.TLS, log))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// secure makes a listener speak TLS, if the configuration says so.
func (l *listener) secure(key string, t config.TLS, log *slog.Logger) error {
	if !t.Enabled() {
		return nil
	}
	file, err := loadCertificates(key, t, log)
	if err != nil {
		return err
	}
	l.certs = &certificates{}
	l.certs.file.Store(file)
	l.TLSConfig = l.certs.config()
	return nil
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

func httpServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// observe counts a client's request. Only answers with content have an origin.
func (s *Server) observe(q registry.Request) {
	s.metrics.Request(metrics.Route(q.Route), q.Method, q.Status, q.Duration)
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
