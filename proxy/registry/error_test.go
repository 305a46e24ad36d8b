package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// errSecret stands for what only the log may hold.
var errSecret = errors.New("open /var/lib/strata/blobs: token=hunter2")

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		err    error
		status int
		code   string
		retry  string
		logged bool
	}{
		{name: "manifest unknown", err: registry.ManifestUnknown("m"), status: 404, code: "MANIFEST_UNKNOWN"},
		{name: "blob unknown", err: registry.BlobUnknown("m"), status: 404, code: "BLOB_UNKNOWN"},
		{name: "name unknown", err: registry.NameUnknown("m"), status: 404, code: "NAME_UNKNOWN"},
		{name: "name invalid", err: registry.NameInvalid("m"), status: 400, code: "NAME_INVALID"},
		{name: "digest invalid", err: registry.DigestInvalid("m"), status: 400, code: "DIGEST_INVALID"},
		{name: "tag invalid", err: registry.TagInvalid("m"), status: 404, code: "TAG_INVALID"},
		{name: "unauthorized", err: registry.Unauthorized("m"), status: 401, code: "UNAUTHORIZED"},
		{name: "denied", err: registry.Denied("m").WithCause(errSecret), status: 403, code: "DENIED"},
		{name: "rate", err: registry.TooManyRequests(1500 * time.Millisecond), status: 429, code: "TOOMANYREQUESTS",
			retry: "2"},
		{name: "rate, no time", err: registry.TooManyRequests(0), status: 429, code: "TOOMANYREQUESTS"},
		{name: "unavailable", err: registry.Unavailable("m", time.Minute).WithCause(errSecret), status: 503,
			code: "UNAVAILABLE", retry: "60", logged: true},
		{name: "bad gateway", err: registry.BadGateway("m").WithCause(errSecret), status: 502, code: "UNAVAILABLE",
			logged: true},
		{name: "gateway timeout", err: registry.GatewayTimeout("m"), status: 504, code: "UNAVAILABLE", logged: true},
		{name: "unsupported", err: registry.Unsupported("m"), status: 405, code: "UNSUPPORTED"},
		{name: "range", err: registry.RangeInvalid("m"), status: 416, code: "RANGE_INVALID"},
		{name: "wrapped", err: fmt.Errorf("%w: %w", errSecret, registry.NameUnknown("m")), status: 404,
			code: "NAME_UNKNOWN"},
		{name: "deadline", err: fmt.Errorf("fetch: %w", context.DeadlineExceeded), status: 504, code: "UNAVAILABLE",
			logged: true},
		{name: "shared work cancelled", err: fmt.Errorf("fetch: %w", context.Canceled), status: 503, code: "UNAVAILABLE",
			retry: "1", logged: true},
		{name: "network", err: &net.OpError{Op: "dial", Err: errSecret}, status: 502, code: "UNAVAILABLE", logged: true},
		{name: "network timeout", err: &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, status: 504,
			code: "UNAVAILABLE", logged: true},
		{name: "any", err: errSecret, status: 500, code: "UNKNOWN", logged: true},
		{name: "no status", err: &registry.Error{Message: "m"}, status: 500, code: "UNKNOWN"},
		{name: "detail", err: registry.Denied("m").WithDetail(map[string]int{"x": 1}), status: 403, code: "DENIED"},
		{name: "detail that JSON cannot hold", err: registry.Denied("m").WithDetail(func() {}), status: 403, code: "DENIED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			backend, _, blob := newFake()
			backend.fail = c.err
			var log bytes.Buffer
			h := registry.New(backend.options(slog.New(slog.NewTextHandler(&log, nil))))
			paths := []string{"manifests/" + testTag, blobPath(blob), "tags/list"}
			for _, path := range paths {
				log.Reset()
				get := call(h, http.MethodGet, "/v2/"+testRepo+"/"+path)
				if get.Code != c.status {
					t.Errorf("%s: status %d, want %d", path, get.Code, c.status)
				}
				var document struct{ Errors []struct{ Code string } }
				if err := json.Unmarshal(get.Body.Bytes(), &document); err != nil || len(document.Errors) != 1 ||
					document.Errors[0].Code != c.code {
					t.Errorf("%s: %v: %s, want code %s", path, err, get.Body, c.code)
				}
				if got := get.Header().Get("Retry-After"); got != c.retry {
					t.Errorf("%s: Retry-After %q, want %q", path, got, c.retry)
				}
				if strings.Contains(get.Body.String(), "hunter2") || get.Header().Get("Www-Authenticate") != "" {
					t.Errorf("%s: tells too much: %s %s", path, get.Body, get.Header())
				}
				if lines := strings.Count(log.String(), "\n"); c.logged && (lines != 1) || !c.logged && c.status < 500 &&
					lines != 0 {
					t.Errorf("%s: log has %d lines: %s", path, lines, &log)
				}
				head := call(h, http.MethodHead, "/v2/"+testRepo+"/"+path)
				if head.Body.Len() != 0 {
					t.Errorf("%s: HEAD has a body: %s", path, head.Body)
				}
				if diff := cmp.Diff(get.Header(), head.Header()); diff != "" || head.Code != get.Code {
					t.Errorf("%s: HEAD %d differs: %s", path, head.Code, diff)
				}
			}
		})
	}
}

func TestErrorChain(t *testing.T) {
	t.Parallel()
	plain := registry.BadGateway("no use")
	err := fmt.Errorf("pull: %w", plain.WithCause(errSecret))
	if !errors.Is(err, errSecret) || plain.Err != nil {
		t.Errorf("cause lost, or the original changed: %v, %v", err, plain.Err)
	}
	if want := "UNAVAILABLE: no use: " + errSecret.Error(); plain.WithCause(errSecret).Error() != want {
		t.Errorf("%q, want %q", plain.WithCause(errSecret), want)
	}
}

func TestWriteErrorTakesBackHeaders(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	for _, k := range []string{"Etag", "Docker-Content-Digest", "Strata-Served", "Accept-Ranges"} {
		w.Header().Set(k, "x")
	}
	w.Header().Set("Www-Authenticate", `Basic realm="here"`)
	registry.WriteError(w, httptest.NewRequest(http.MethodGet, "/v2/", nil), registry.Unauthorized("log in"))
	body := `{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}`
	want := http.Header{
		"Cache-Control": {"no-store"},
		"Content-Type":  {"application/json"},

		"Content-Security-Policy": {"sandbox; default-src 'none'; frame-ancestors 'none'"},
		"X-Content-Type-Options":  {"nosniff"},
		"Content-Length":          {fmt.Sprint(len(body))},
		"Www-Authenticate":        {`Basic realm="here"`},
	}
	if diff := cmp.Diff(want, w.Header()); diff != "" || w.Body.String() != body {
		t.Errorf("%s %s", diff, w.Body)
	}
}

// TestClientLeft checks that nothing is written for nobody, and that net/http gets to know.
func TestClientLeft(t *testing.T) {
	t.Parallel()
	backend, _, _ := newFake()
	backend.fail = context.Canceled
	var got registry.Request
	h := registry.AccessLog(backend.handler(), nil, func(q registry.Request) { got = q })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	if p := panicOf(func() {
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v2/"+testRepo+"/manifests/x", nil))
	}); p != http.ErrAbortHandler {
		t.Errorf("panic %v", p)
	}
	if w.Body.Len() != 0 || got.Status != 499 || !got.Aborted {
		t.Errorf("body %q, logged %+v", w.Body, got)
	}
}

// TestDeadline checks that a deadline in the request's own context, of a middleware, is no client that left.
func TestDeadline(t *testing.T) {
	t.Parallel()
	backend, _, _ := newFake()
	backend.fail = context.DeadlineExceeded
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	w := httptest.NewRecorder()
	backend.handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v2/"+testRepo+"/manifests/x", nil))
	if w.Code != http.StatusGatewayTimeout {
		t.Errorf("status %d", w.Code)
	}
}

func panicOf(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

type panicking struct{ registry.Manifests }

func (panicking) Manifest(context.Context, name.Repository, name.Reference) (*registry.Manifest, error) {
	panic(errSecret)
}

func TestPanic(t *testing.T) {
	t.Parallel()
	backend, _, _ := newFake()
	var log bytes.Buffer
	o := backend.options(slog.New(slog.NewTextHandler(&log, nil)))
	o.Manifests = panicking{}
	w := call(registry.New(o), http.MethodGet, "/v2/"+testRepo+"/manifests/x")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "stack=") {
		t.Errorf("log: %s", &log)
	}
}
