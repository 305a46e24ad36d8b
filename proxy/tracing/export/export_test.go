package export_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/proxy/tracing/export"
	"github.com/strata-oci/strata/proxy/tracing/tracingtest"
)

// serve answers one request with a traced handler, and sends all.
func serve(t *testing.T, o export.Options, r *http.Request, handler http.HandlerFunc) {
	t.Helper()
	traces, err := export.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	traces.Handler(handler).ServeHTTP(httptest.NewRecorder(), r)
	if err := traces.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What is done for a request is below it, also after it was answered.
func TestSpans(t *testing.T) {
	t.Parallel()
	c := tracingtest.New(t)
	late := make(chan context.Context, 1)
	traces, err := export.New(t.Context(), export.Options{Endpoint: c.URL, Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	handler := traces.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		tracing.Name(r.Context(), "GET manifest")
		tracing.Note(r.Context(), "tag", strings.Repeat("x", 10_000), "none", "", 5, "no key", "odd")
		ctx, end := tracing.Start(r.Context(), "work", "job", 7)
		late <- context.WithoutCancel(ctx)
		end(errors.New("it broke"))
	}))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	_, end := tracing.Start(<-late, "more")
	end(nil)
	if err := traces.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := map[string]tracingtest.Span{}
	for _, s := range c.Spans() {
		spans[s.Name] = s
	}
	top, work, more := spans["GET manifest"], spans["work"], spans["more"]
	if len(spans) != 3 || top.Parent != "" || work.Parent != top.ID || more.Parent != work.ID || more.Trace != top.Trace {
		t.Fatalf("spans: %+v", spans)
	}
	if work.Failed != "it broke" || top.Failed != "" {
		t.Errorf("failures: %q, %q", work.Failed, top.Failed)
	}
	if n := len(top.Facts["tag"]); n == 0 || n > 512 || len(top.Facts) != 1 {
		t.Errorf("facts: %d bytes, %d facts", n, len(top.Facts))
	}
}

// Which requests are kept: a share, also of those that come with a trace of their own.
func TestShare(t *testing.T) {
	t.Parallel()
	const sampled, unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	for _, tc := range []struct {
		name, parent string
		share        float64
		kept         bool
	}{
		{"all", "", 1, true}, {"none", "", 0, false}, {"of a trace", sampled, 1, true},
		{"of a trace, none", sampled, 0, false},
		{"of a trace that is not kept", unsampled, 1, false}, {"of nonsense", "00-zz", 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := tracingtest.New(t)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.Header.Set("Traceparent", tc.parent)
			serve(t, export.Options{Endpoint: c.URL, Share: tc.share}, r, func(_ http.ResponseWriter, r *http.Request) {
				_, end := tracing.Start(r.Context(), "work")
				end(nil)
				h := http.Header{}
				tracing.Tell(r.Context(), h)
				if says := strings.HasSuffix(h.Get("Traceparent"), "-01"); says != tc.kept {
					t.Errorf("others are told %q", h.Get("Traceparent"))
				}
			})
			spans := c.Spans()
			if len(spans) > 0 != tc.kept || tc.kept && len(spans) != 2 {
				t.Fatalf("%d spans", len(spans))
			}
			if tc.kept && strings.Contains(tc.parent, spans[0].Trace) != (tc.parent == sampled) {
				t.Errorf("a request with %q belongs to %s", tc.parent, spans[0].Trace)
			}
		})
	}
}

// Who is slow to take traces keeps nobody.
func TestSlow(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	c := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer c.Close()
	defer close(stop)
	traces, err := export.New(t.Context(), export.Options{Endpoint: c.URL, Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	h := traces.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 20_000 { // far more than wait in line
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if traces.Close(ctx) == nil {
		t.Error("all was sent to nobody")
	}
}

// Without traces, nothing is done and nothing fails.
func TestNone(t *testing.T) {
	t.Parallel()
	var none *export.Traces
	none.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx, end := tracing.Start(r.Context(), "work")
		tracing.Note(ctx, "a", "b")
		end(errors.New("no"))
		h := http.Header{}
		if tracing.Tell(ctx, h); len(h) != 0 {
			t.Errorf("others are told %v", h)
		}
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if err := none.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"http://[", "\x00"} {
		if _, err := export.New(t.Context(), export.Options{Endpoint: wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
