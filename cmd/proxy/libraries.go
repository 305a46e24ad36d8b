package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/google/go-containerregistry/pkg/logs"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel"
	"k8s.io/klog/v2"
)

// adoptLibraries has what libraries log come out with everything else, at debug: what matters of it they return, and whoever
// gets it logs it once, knowing what it means. Where they log is theirs and the process's, so this is for the program alone.
func adoptLibraries(logger *slog.Logger) {
	from := func(library string) *slog.Logger { return slog.New(quiet{logger.Handler()}).With("library", library) }

	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.InfoLevel) // its debug lines have headers of requests
	logrus.StandardLogger().ReplaceHooks(logrus.LevelHooks{})
	logrus.AddHook(logrusHook{from("distribution")})
	klog.SetSlogLogger(from("klog"))
	redis.SetLogger(redisLog{from("redis")})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		from("opentelemetry").LogAttrs(context.Background(), slog.LevelDebug, "error", slog.Any("error", err))
	}))
	registries := slog.NewLogLogger(from("go-containerregistry").Handler(), slog.LevelDebug)
	for _, l := range []*log.Logger{logs.Warn, logs.Progress} {
		l.SetFlags(0)
		l.SetOutput(registries.Writer())
	}
	slog.SetDefault(from("log")) // and what package log is told
}

// quiet is a handler at which everything is a debug line.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level, r.Message = slog.LevelDebug, strings.TrimSpace(r.Message)
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// logrusHook passes on what is logged by way of logrus. Its fields are left out, but for the error: those of distribution
// have what requests hold.
type logrusHook struct{ log *slog.Logger }

// Levels implements logrus.Hook.
func (logrusHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (h logrusHook) Fire(e *logrus.Entry) error {
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	var attrs []slog.Attr
	if err, ok := e.Data[logrus.ErrorKey]; ok {
		attrs = append(attrs, slog.Any("error", err))
	}
	h.log.LogAttrs(ctx, slog.LevelDebug, e.Message, attrs...)
	return nil
}

// redisLog passes on what the client of Redis logs.
type redisLog struct{ log *slog.Logger }

// Printf implements what redis.SetLogger takes.
func (l redisLog) Printf(ctx context.Context, format string, args ...any) {
	l.log.LogAttrs(ctx, slog.LevelDebug, fmt.Sprintf(format, args...))
}
