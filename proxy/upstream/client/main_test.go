package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

func TestMain(m *testing.M) {
	// distribution's application, an upstream in one of the tests, never ends this one.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

// anonymous is a keychain without logins, so that tests do not depend on the machine's.
type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

var testRepo = nametest.Repository("registry.test/org/app")

// clock stands in for time: it records waits instead of waiting.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	waits []time.Duration
}

func newClock() *clock { return &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = append(c.waits, d)
	c.at = c.at.Add(d)
	return ctx.Err()
}

func (c *clock) waited() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Duration{}, c.waits...)
}

// setup is a client for one upstream under the name registry.test.
type setup struct {
	config  Config
	options Options
	clock   *clock
}

// client returns a Client whose upstream is at base; adjust may change anything before.
func client(t *testing.T, base string, adjust ...func(*setup)) (*Client, *clock) {
	t.Helper()
	s := &setup{config: at(base), clock: newClock()}
	s.options = Options{Keychain: anonymous{}, Now: s.clock.now, Sleep: s.clock.sleep, Proxy: direct}
	for _, a := range adjust {
		a(s)
	}
	if s.options.Hosts == nil {
		s.options.Hosts = map[string]Config{testRepo.Host(): s.config}
	}
	c, err := New(s.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, s.clock
}

// at is the configuration of an upstream at a URL.
func at(base string) Config { return Config{Config: transport.Config{URL: base}} }

func direct(*http.Request) (*url.URL, error) { return nil, nil }

// serve starts an upstream that answers with h.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// refuse answers with a status and an OCI error document.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": code, "message": message}}})
}

// asError fails the test unless err is an *upstream.Error.
func asError(t *testing.T, err error) *upstream.Error {
	t.Helper()
	var e *upstream.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an *upstream.Error", err, err)
	}
	return e
}

// wantKind fails the test unless err is an *upstream.Error of a kind.
func wantKind(t *testing.T, err error, kind upstream.Kind) *upstream.Error {
	t.Helper()
	e := asError(t, err)
	if e.Kind != kind {
		t.Fatalf("got kind %s, want %s: %v", e.Kind, kind, err)
	}
	return e
}

// readAll reads and closes a blob.
func readAll(t *testing.T, r io.ReadCloser) ([]byte, error) {
	t.Helper()
	data, err := io.ReadAll(r)
	if cerr := r.Close(); cerr != nil && err == nil {
		t.Errorf("close: %v", cerr)
	}
	return data, err
}

// setHeader sets a header field, unless to nothing.
func setHeader(h http.Header, key, value string) {
	if value != "" {
		h.Set(key, value)
	}
}
