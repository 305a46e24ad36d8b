package e2e

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/strata-oci/strata/proxy/tracing/tracingtest"
)

// A pull through an edge is one trace, from the client's request to the registry, over both programs. The registry, which is
// somebody else's, is told nothing of it.
func TestTraces(t *testing.T) {
	t.Parallel()
	c := tracingtest.New(t)
	u := newUpstream(t)
	u.push("os/image:v1", series(true)[0])
	var mu sync.Mutex
	var told []string
	u.setGate(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			for _, key := range []string{"Traceparent", "Tracestate", "Baggage"} {
				if r.Header.Get(key) != "" {
					told = append(told, r.Method+" "+r.URL.Path)
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	o := proxyOptions{top: "tracing: {endpoint: \"" + c.URL + "\"}\n"}
	central := newProxy(t, u, o)
	o.via = central.Clients
	edge := newProxy(t, nil, o)
	if _, err := fetchImage(t.Context(), edge.image("os/image:v1")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*proxy{edge, central} { // the last spans are sent
		p.Terminate()
		if code := p.Wait(); code != 0 {
			t.Errorf("strata serve ended with %d", code)
		}
	}
	checkTrace(t, c.Spans())
	if mu.Lock(); len(told) > 0 {
		t.Errorf("the registry is told of traces: %q", told)
	}
	mu.Unlock()
}

// checkTrace looks for the trace of the manifest's pull.
func checkTrace(t *testing.T, all []tracingtest.Span) {
	t.Helper()
	spans := map[string]tracingtest.Span{}
	for _, s := range all {
		spans[s.ID] = s
	}
	// path names what a span is below of, from the top.
	path := func(s tracingtest.Span) string {
		names := []string{s.Name}
		for s.Parent != "" {
			above, ok := spans[s.Parent]
			if !ok {
				t.Errorf("%s is below a span that never came", s.Name)
				break
			}
			s = above
			names = append(names, s.Name)
		}
		slices.Reverse(names)
		return strings.Join(names, " > ")
	}
	var paths []string
	for _, s := range all {
		if p := path(s); !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	edge := "GET manifest > tag check > upstream HEAD > HEAD manifest > "
	for _, want := range []string{
		"GET manifest > tag check > upstream HEAD",
		edge + "tag check > upstream HEAD",
		edge + "tag check > update > rechunk > download > upstream GET",
		edge + "tag check > update > rechunk > phase fetch",
		edge + "tag check > update > rechunk > phase write",
		edge + "tag check > update > wait for rechunking",
	} {
		if !slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("no %q in\n%s", want, strings.Join(paths, "\n"))
		}
	}
}
