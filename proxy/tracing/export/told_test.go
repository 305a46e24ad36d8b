package export

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// collector takes spans, or does not.
type collector struct {
	sdk.SpanExporter
	away bool
}

func (c *collector) ExportSpans(context.Context, []sdk.ReadOnlySpan) error {
	if c.away {
		return errors.New("nobody there")
	}
	return nil
}

// A collector that is away is one line, and so is that it is back.
func TestAway(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := &collector{}
	e := &told{SpanExporter: c, log: slog.New(slog.NewTextHandler(&log, nil)), to: "collector.example:4318"}
	for _, c.away = range []bool{false, true, true, false, false} {
		if err := e.ExportSpans(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "level=WARN") ||
		!strings.Contains(text, "nobody there") || !strings.Contains(text, "traces are sent again") {
		t.Errorf("log:\n%s", text)
	}
}
