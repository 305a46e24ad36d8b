package server

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/replicas"
)

// openRedis connects to the Redis that the configuration names, and returns the leases in it; nothing where it names none. A
// Redis that does not answer is no error: this replica goes on alone until it does.
func openRedis(ctx context.Context, cfg *config.Config, log *slog.Logger) (*replicas.Conn, *lease.Leases, error) {
	if !cfg.Redis.Enabled() {
		return nil, nil, nil
	}
	encrypted, err := cfg.Redis.ClientTLS()
	if err != nil {
		return nil, nil, err
	}
	if _, err := cfg.Redis.ReadPassword(); err != nil {
		return nil, nil, err
	}
	o := replicas.Options{
		Address: cfg.Redis.Address, Username: cfg.Redis.Username, Database: cfg.Redis.Database, TLS: encrypted, Logger: log,
	}
	if !cfg.Redis.Password.IsZero() || cfg.Redis.PasswordFile != "" {
		o.Password = cfg.Redis.ReadPassword
	}
	conn := replicas.Open(ctx, o)
	return conn, lease.New(lease.NewAlone(lease.NewRedis(conn.Client(), cfg.Redis.Prefix)), log), nil
}

// watchRedis lets metrics and status tell whether Redis answers.
func (s *Server) watchRedis(reg prometheus.Registerer, m *metrics.Metrics) func() *operate.RedisReport {
	if s.redis == nil {
		return nil
	}
	m.WatchRedis(reg, func() bool { return s.redis.Err() == nil })
	return func() *operate.RedisReport {
		out := &operate.RedisReport{Address: s.cfg.Redis.Address, Up: true, Since: s.redis.Since().UTC()}
		if err := s.redis.Err(); err != nil {
			out.Up, out.Error = false, err.Error()
		}
		return out
	}
}
