// Package tracing notes what a request costs, as spans of a trace (OpenTelemetry): what is done for it, for how long, and
// what came of it. Whether there is a trace at all, the context says, which whoever takes the request puts it into (package
// export); in one without, everything here does nothing, and costs a look at the context. Work that goes on when its client
// has left keeps the values of the client's context, and with them its place in the trace.
//
// Facts about a span come as pairs of a key and a value, "repository", "ghcr.io/x/y", as those of log/slog do: strings,
// numbers, booleans, and what has a String method. What is none of these, or has no value, is left out. Secrets do not
// belong there, and addresses of other servers without their query.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Scope names what makes the spans.
const Scope = "github.com/strata-oci/strata"

// Start begins a span below that of ctx. The context is that of the work in it; end, which is called once, says what came of
// it: nil, or why it failed.
func Start(ctx context.Context, name string, facts ...any) (_ context.Context, end func(err error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() && !parent.SpanContext().IsSampled() {
		return ctx, func(error) {}
	}
	ctx, span := parent.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithAttributes(attributes(facts)...))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// Note adds facts to the span of ctx.
func Note(ctx context.Context, facts ...any) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attributes(facts)...)
	}
}

// Name gives the span of ctx another name, once it is known what it is.
func Name(ctx context.Context, name string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetName(name)
	}
}

// Fail says why what the span of ctx stands for failed.
func Fail(ctx context.Context, why string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetStatus(codes.Error, why)
	}
}

// Tell writes into the header of a request which span of which trace it belongs to (W3C Trace Context), for a server of
// one's own that keeps traces, too.
func Tell(ctx context.Context, h http.Header) {
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
}

// attributes makes those of OpenTelemetry of pairs.
func attributes(facts []any) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(facts)/2)
	for i := 0; i+1 < len(facts); i += 2 {
		key, ok := facts[i].(string)
		if !ok {
			continue
		}
		switch v := facts[i+1].(type) {
		case string:
			if v != "" {
				out = append(out, attribute.String(key, v))
			}
		case bool:
			out = append(out, attribute.Bool(key, v))
		case int:
			out = append(out, attribute.Int(key, v))
		case int64:
			out = append(out, attribute.Int64(key, v))
		case fmt.Stringer:
			if text := v.String(); text != "" {
				out = append(out, attribute.String(key, text))
			}
		}
	}
	return out
}

// LogHandler adds to each line that belongs to a trace which one that is.
func LogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if c := trace.SpanContextFromContext(ctx); c.IsSampled() {
		r.AddAttrs(slog.String("trace", c.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }
