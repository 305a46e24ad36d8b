package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/tracing/export"
)

// openTraces returns what sends traces, nil where there are none.
func openTraces(ctx context.Context, cfg *config.Config, version string, log *slog.Logger) (*export.Traces, error) {
	if !cfg.Tracing.Enabled() {
		return nil, nil
	}
	client, err := cfg.Tracing.Client()
	if err != nil {
		return nil, err
	}
	return export.New(ctx, export.Options{
		Endpoint: cfg.Tracing.Endpoint, Client: client, Share: float64(cfg.Tracing.Share), Version: version, Logger: log,
	})
}

// tracedWarmer begins a trace with each reference that is pulled ahead: nobody's request would.
type tracedWarmer struct {
	admin.Warmer
	traces *export.Traces
}

// Warm implements admin.Warmer.
func (w tracedWarmer) Warm(ctx context.Context, ref string, progress func(operate.WarmEvent)) (err error) {
	ctx, end := w.traces.Begin(ctx, "warm", "reference", ref)
	defer func() { end(err) }()
	return w.Warmer.Warm(ctx, ref, progress)
}

// lastTraces is how long an end waits for the collector.
const lastTraces = 5 * time.Second

// endTraces sends what waits. That it is lost is no reason to call an end a bad one.
func (s *Server) endTraces(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, lastTraces)
	defer stop()
	if err := s.traces.Close(ctx); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "traces were lost", slog.Any("error", err))
	}
}
