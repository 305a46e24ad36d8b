// Package tracingtest is a collector of traces for tests.
package tracingtest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that came.
type Span struct {
	Name, Trace, ID, Parent string // identifiers in hex; no Parent at the top
	Facts                   map[string]string
	Failed                  string
	Seconds                 float64
}

// Collector takes traces over HTTP. It is safe for concurrent use.
type Collector struct {
	*httptest.Server

	mu    sync.Mutex
	spans []Span
}

// New starts a collector, which ends with the test.
func New(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/traces" {
			http.Error(w, "not here", http.StatusNotFound)
			return
		}
		if err := c.take(r); err != nil {
			tb.Errorf("traces that came: %v", err)
		}
	}))
	tb.Cleanup(c.Close)
	return c
}

func (c *Collector) take(r *http.Request) error {
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	var came collect.ExportTraceServiceRequest
	if err := proto.Unmarshal(b, &came); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range came.ResourceSpans {
		for _, in := range of.ScopeSpans {
			for _, s := range in.Spans {
				facts := map[string]string{}
				for _, a := range s.Attributes {
					facts[a.Key] = a.Value.GetStringValue()
				}
				c.spans = append(c.spans, Span{
					Name: s.Name, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId),
					Parent: hex.EncodeToString(s.ParentSpanId), Facts: facts, Failed: s.Status.GetMessage(),
					Seconds: float64(s.EndTimeUnixNano-s.StartTimeUnixNano) / 1e9,
				})
			}
		}
	}
	return nil
}

// Spans returns what came so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}
