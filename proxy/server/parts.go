package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/auth"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// storageError says which storage failed, and what to do about a directory that cannot be written.
func storageError(cfg *config.Config, err error) error {
	n := storageName(cfg)
	if path := (*fs.PathError)(nil); cfg.Storage.Driver == "filesystem" && errors.As(err, &path) {
		return fmt.Errorf("storage %s: %w: set storage.filesystem.rootdirectory (STRATA_STORAGE_FILESYSTEM_ROOTDIRECTORY) to a "+
			"directory that can be written", n.Location, err)
	}
	return fmt.Errorf("storage %s: %w", strings.TrimSpace(n.Driver+" "+n.Location), err)
}

// storageName says where the store is, without its secrets.
func storageName(cfg *config.Config) operate.Store {
	n := operate.Store{Driver: cfg.Storage.Driver}
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

// via names this process to itself, where it could be led here by the name of a registry or by a via, behind those that a
// request came through.
func (s *Server) via(ctx context.Context) string {
	if cfg := s.live.Load(); len(cfg.AnswerAs) == 0 && !cfg.Edge() {
		return ""
	}
	if before := registry.ViaOf(ctx); before != "" {
		return before + ", 1.1 " + s.self
	}
	return "1.1 " + s.self
}

func (s *Server) upstreamOptions(cfg *config.Config) client.Options {
	o := upstreamOptions(cfg, s.version, s.log, s.metrics)
	o.Via = s.via
	return o
}

func upstreamOptions(cfg *config.Config, version string, log *slog.Logger, m *metrics.Metrics) client.Options {
	o := client.Options{
		Hosts: map[string]client.Config{}, AllowUnlisted: cfg.AnyUpstream(), Logger: log, UserAgent: "strata/" + version,
		Observer: observer{m},
	}
	for _, host := range cfg.Hosts() {
		u := cfg.Upstream(host)
		o.Hosts[host] = client.Config{
			Config: transport.Config{
				URL: u.URL, CAFile: u.CAFile, ClientCertFile: u.ClientCertFile, ClientKeyFile: u.ClientKeyFile,
				Insecure: u.Insecure, SkipVerify: u.SkipVerify, RedirectHosts: u.RedirectHosts,
				Proxy: u.Proxy.Reveal(), Rate: float64(u.Rate),
				Bandwidth: int64(u.Bandwidth), MaxConnections: u.MaxConnections, MaxDownloads: u.MaxDownloads,
				Timeout: time.Duration(u.Timeout),
			},
			Login: auth.Login{Username: u.Username, Password: u.Password.Reveal(), PasswordFile: u.PasswordFile,
				AuthFile: u.AuthFile},
			Attempts: u.Attempts, Via: u.Via != "",
		}
	}
	return o
}

// upstreamStates tells the metrics how the upstreams fare.
func (s *Server) upstreamStates() []metrics.UpstreamState {
	var out []metrics.UpstreamState
	for _, u := range s.upstream.Status() {
		out = append(out, metrics.UpstreamState{
			Host: u.Host, Breaker: breakerValue[u.State], Paused: !u.PausedUntil.IsZero(), Running: u.Running, Held: u.Held,
			BudgetKnown: u.Budget.Known, BudgetLimit: u.Budget.Limit, BudgetRemaining: u.Budget.Remaining,
		})
	}
	return out
}

// breakerValue are the states of a breaker as numbers.
var breakerValue = map[string]float64{"closed": 0, "half-open": 1, "open": 2}

// observer counts what package upstream tells.
type observer struct{ m *metrics.Metrics }

func (o observer) Request(host, _ string, status int) { o.m.UpstreamAnswer(host, status) }
func (o observer) Error(host string, kind upstream.Kind) {
	o.m.UpstreamFailed(host, metrics.UpstreamError(kind))
}
func (o observer) Bytes(host string, n int) { o.m.UpstreamBytes(host, int64(n)) }
