// Package export begins traces with requests and sends them to a collector, by OTLP over HTTP (OpenTelemetry). What is done
// for a request adds to its trace with package tracing.
package export

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/strata-oci/strata/proxy/tracing"
)

const (
	// mostWaiting bounds the spans that wait to be sent; more are dropped.
	mostWaiting = 8192
	// mostFacts and mostText bound what one span holds: names and errors of clients and upstreams are in it.
	mostFacts = 32
	mostText  = 512
	// timeout bounds one attempt to send.
	timeout = 10 * time.Second
	// path is where collectors take traces, by OTLP.
	path = "/v1/traces"
)

// Options say what is kept and where it goes.
type Options struct {
	// Endpoint is the collector's URL, http or https; without a path, that of OTLP is added.
	Endpoint string
	// Client makes the requests to it; nil: http.DefaultClient.
	Client *http.Client
	// Share is how many of the requests begin a trace that is kept, 0 to 1. Of requests that come with a trace as many are
	// kept as of others, and the same ones as everywhere where the share is the same.
	Share float64
	// Version is that of the program.
	Version string
	// Logger is told when the collector cannot be reached, and when it can again; nil: nobody.
	Logger *slog.Logger
}

// Traces begins traces and sends them. A nil *Traces does nothing. It is safe for concurrent use.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// New returns traces that are sent from now on. It makes no connection. Close ends it.
func New(ctx context.Context, o Options) (*Traces, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("address of the collector of traces: %w", err)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = path
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()),
		otlptracehttp.WithHTTPClient(o.Client),
		otlptracehttp.WithTimeout(timeout), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		return nil, fmt.Errorf("collector of traces: %w", err)
	}
	kept := sdk.TraceIDRatioBased(o.Share)
	limits := sdk.NewSpanLimits()
	limits.AttributeCountLimit, limits.AttributeValueLengthLimit = mostFacts, mostText
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(&told{SpanExporter: exporter, log: o.Logger, to: u.Host}, sdk.WithMaxQueueSize(mostWaiting)),
		sdk.WithSampler(sdk.ParentBased(kept, sdk.WithRemoteParentSampled(kept))),
		sdk.WithRawSpanLimits(limits),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "strata"), attribute.String("service.version", o.Version))),
	)
	return &Traces{provider, provider.Tracer(tracing.Scope)}, nil
}

// Handler returns a handler whose requests are traces, or parts of those that they say they belong to.
func (t *Traces) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Begin begins a trace with work that no request asked for; where ctx has one, it adds to that. The context is that of the
// work; end, which is called once, says what came of it: nil, or why it failed.
func (t *Traces) Begin(ctx context.Context, name string, facts ...any) (_ context.Context, end func(err error)) {
	if t == nil || trace.SpanContextFromContext(ctx).IsValid() {
		return tracing.Start(ctx, name, facts...)
	}
	ctx, span := t.tracer.Start(ctx, name)
	tracing.Note(ctx, facts...)
	return ctx, func(err error) {
		if err != nil {
			tracing.Fail(ctx, err.Error())
		}
		span.End()
	}
}

// Close sends what waits, as long as ctx lasts.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("traces that were not sent yet: %w", err)
	}
	return nil
}

// told logs when sending begins to fail, and when it works again, rather than each failure.
type told struct {
	sdk.SpanExporter
	log  *slog.Logger
	to   string
	away atomic.Bool
}

// ExportSpans implements sdk.SpanExporter. It gives no error: all that the caller could do with one is to log it, each time.
func (e *told) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !e.away.Swap(true):
		e.log.LogAttrs(ctx, slog.LevelWarn, "traces cannot be sent, and are dropped until they can",
			slog.String("collector", e.to), slog.Any("error", err))
	case err == nil && e.away.Swap(false):
		e.log.LogAttrs(ctx, slog.LevelInfo, "traces are sent again", slog.String("collector", e.to))
	}
	return nil
}
