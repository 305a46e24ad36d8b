package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/service"
	"github.com/strata-oci/strata/proxy/upstream"
)

type serveCommand struct {
	Config string `help:"Configuration file; without one the defaults hold. Every key: config.example.yml." short:"c" env:"STRATA_CONFIG" placeholder:"FILE"`
}

func (c *serveCommand) Run(ctx context.Context, s *streams) error {
	cfg, warnings, err := config.Load(c.Config, s.env)
	if err != nil {
		return usageError{err}
	}
	log := newLogger(s, cfg)
	for _, w := range warnings {
		log.Warn("configuration", "warning", w)
	}
	p, err := newProxy(ctx, cfg, log)
	if err != nil {
		return err
	}
	return p.run(ctx)
}

func newLogger(s *streams, cfg *config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cfg.Log.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(s.err, o))
	}
	return slog.New(slog.NewTextHandler(s.err, o))
}

// proxy is a running strata serve: its parts, wired.
type proxy struct {
	cfg      *config.Config
	log      *slog.Logger
	metrics  *metrics.Metrics
	upstream *upstream.Client
	service  *service.Service
	admin    *admin.Handler
	closing  atomic.Bool
}

// staleUploads is the age at which what a killed process left half written is removed.
const staleUploads = time.Hour

func newProxy(ctx context.Context, cfg *config.Config, log *slog.Logger) (*proxy, error) {
	p := &proxy{cfg: cfg, log: log}
	chunks, err := openStore(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	work := cfg.WorkDirectory()
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, fmt.Errorf("work_dir: %w", err)
	}
	gatherer := prometheus.NewRegistry()
	p.metrics = metrics.New(gatherer, cfg.Hosts()...)
	p.metrics.BuildInfo(programVersion())
	if p.upstream, err = upstream.New(upstreamOptions(cfg, log, p.metrics)); err != nil {
		return nil, err
	}
	p.service = service.New(service.Options{
		Chunks: chunks, Upstream: p.upstream, Rules: cfg, Metrics: p.metrics, WorkDir: work, Jobs: cfg.Jobs, Version: programVersion(),
		Names: name.Parser{DefaultUpstream: cfg.DefaultUpstream}, Storage: storageName(cfg), Logger: log,
	})
	p.admin = admin.New(admin.Options{
		Status: p.service.Operator(), Warmer: p.service.Operator(), Gatherer: gatherer, ShuttingDown: p.closing.Load, Logger: log,
		Checks: []admin.Check{{Name: "storage", Run: chunks.Check}},
	})
	return p, nil
}

func openStore(ctx context.Context, cfg *config.Config, log *slog.Logger) (*chunkstore.Store, error) {
	driver, err := chunkstore.OpenDriver(ctx, cfg.Storage.Driver, cfg.Storage.Parameters)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	cache := int64(cfg.CacheBytes)
	if cache == 0 {
		cache = -1
	}
	chunks, err := chunkstore.NewContext(ctx, driver, chunkstore.Options{CacheBytes: cache, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	n, err := chunks.SweepUploads(ctx, staleUploads)
	if err != nil {
		log.Warn("leftovers of an earlier process could not be removed", "error", err)
	} else if n > 0 {
		log.Info("leftovers of an earlier process removed", "uploads", n)
	}
	return chunks, nil
}

func storageName(cfg *config.Config) service.StorageName {
	n := service.StorageName{Driver: cfg.Storage.Driver}
	for _, key := range []string{"rootdirectory", "bucket", "container"} {
		if v, ok := cfg.Storage.Parameters[key].(string); ok {
			n.Location = v
			break
		}
	}
	if abs, err := filepath.Abs(n.Location); err == nil && cfg.Storage.Driver == "filesystem" {
		n.Location = abs
	}
	return n
}

func upstreamOptions(cfg *config.Config, log *slog.Logger, m *metrics.Metrics) upstream.Options {
	o := upstream.Options{
		Hosts: map[string]upstream.Config{}, AllowUnlisted: cfg.AnyUpstream(), Logger: log, UserAgent: "strata/" + programVersion(),
		Observer: observer{m},
	}
	for _, host := range cfg.Hosts() {
		u := cfg.Upstream(host)
		o.Hosts[host] = upstream.Config{
			URL: u.URL, Username: u.Username, Password: u.Password.Reveal(), PasswordFile: u.PasswordFile, AuthFile: u.AuthFile,
			CAFile: u.CAFile, ClientCertFile: u.ClientCertFile, ClientKeyFile: u.ClientKeyFile, Insecure: u.Insecure, SkipVerify: u.SkipVerify,
			Timeout: time.Duration(u.Timeout), Attempts: u.Attempts,
		}
	}
	return o
}

// observer counts what package upstream tells.
type observer struct{ m *metrics.Metrics }

func (o observer) Request(host, _ string, status int) { o.m.UpstreamAnswer(host, status) }
func (o observer) Error(host string, kind upstream.Kind) {
	o.m.UpstreamFailed(host, metrics.UpstreamError(kind))
}
func (o observer) Bytes(host string, n int) { o.m.UpstreamBytes(host, int64(n)) }

// observe counts a client's request.
func (p *proxy) observe(q registry.Request) {
	p.metrics.Request(metrics.Route(q.Route), q.Method, q.Status, q.Duration)
	switch q.Route {
	case registry.RouteManifest:
		origin := metrics.OriginHit
		if q.Served == registry.Rechunked {
			origin = metrics.OriginRechunked
		}
		p.metrics.Sent(metrics.KindManifest, origin, q.Bytes)
	case registry.RouteBlob:
		p.metrics.Sent(metrics.KindBlob, metrics.OriginHit, q.Bytes)
	}
}

// run serves until ctx ends, then lets running requests finish and stops the jobs.
func (p *proxy) run(ctx context.Context) error {
	handler := registry.New(registry.Options{
		Manifests: p.service, Blobs: p.service, Listings: p.service, Referrers: p.service,
		Names: name.Parser{DefaultUpstream: p.cfg.DefaultUpstream}, Logger: p.log,
	})
	clients := p.server(registry.AccessLog(handler, p.log, p.observe))
	operators := p.server(p.admin)
	failed := make(chan error, 2)
	for _, l := range []struct {
		server *http.Server
		what   string
		listen string
		tls    config.TLS
	}{{clients, "clients", p.cfg.Listen, p.cfg.TLS}, {operators, "operators", p.cfg.Admin.Listen, config.TLS{}}} {
		ln, err := net.Listen("tcp", l.listen)
		if err != nil {
			return errors.Join(fmt.Errorf("listening for %s on %s: %w", l.what, l.listen, err), p.close(clients, operators))
		}
		p.log.Info("listening", "for", l.what, "address", ln.Addr().String(), "tls", l.tls.Enabled())
		go func() { failed <- serveOn(l.server, ln, l.tls) }()
	}
	notify(p.log, daemon.SdNotifyReady)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	notify(p.log, daemon.SdNotifyStopping)
	p.log.Info("shutting down")
	return errors.Join(err, p.close(clients, operators))
}

func (p *proxy) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
}

func serveOn(s *http.Server, ln net.Listener, tls config.TLS) error {
	var err error
	if tls.Enabled() {
		err = s.ServeTLS(ln, tls.CertFile, tls.KeyFile)
	} else {
		err = s.Serve(ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// close ends all parts: requests first, then the work behind them.
func (p *proxy) close(clients, operators *http.Server) error {
	p.closing.Store(true)
	ctx, stop := context.WithTimeout(context.Background(), time.Duration(p.cfg.ShutdownTimeout))
	defer stop()
	// Jobs stop first: requests that wait for one would hold the server up. Downloads go on for those who read them.
	p.service.Stop()
	err := clients.Shutdown(ctx)
	if err != nil {
		_ = clients.Close()
		err = fmt.Errorf("requests were cut off after shutdown_timeout: %w", err)
	}
	_ = operators.Close()
	p.admin.Close()
	err = errors.Join(err, p.service.Close(ctx))
	p.upstream.Close()
	return err
}

// notify tells systemd, when it started the process with Type=notify.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd could not be told", "state", state, "error", err)
	}
}
