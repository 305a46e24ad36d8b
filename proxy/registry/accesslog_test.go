package registry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
)

func TestAccessLog(t *testing.T) {
	t.Parallel()
	backend, m, blob := newFake()
	repo := nametest.Repository("ghcr.io/ublue-os/bluefin")
	var got registry.Request
	h := registry.AccessLog(backend.handler(), nil, func(q registry.Request) { got = q })
	for _, c := range []struct {
		method, path string
		headers      []string
		want         registry.Request
	}{
		{"GET", "/v2/", nil, registry.Request{Status: 200, Bytes: 2, Route: registry.RouteBase}},
		{"GET", "/v2/" + testRepo + "/manifests/" + testTag, nil, registry.Request{
			Status: 200, Bytes: int64(len(m.Bytes)), Route: registry.RouteManifest, Repository: repo,
			Reference: registry.ByTag, Tag: testTag, Served: registry.Rechunked, Origin: registry.MadeHere, Digest: m.Digest,
		}},
		{"HEAD", "/v2/" + testRepo + "/manifests/" + m.Digest.String(), nil, registry.Request{
			Status: 200, Route: registry.RouteManifest, Repository: repo, Reference: registry.ByDigest,
			Served: registry.Rechunked,
			Origin: registry.MadeHere, Digest: m.Digest,
		}},
		{"GET", blobURL(blob), []string{"Range", "bytes=0-9"}, registry.Request{
			Status: 206, Bytes: 10, Route: registry.RouteBlob, Repository: repo, Reference: registry.ByDigest,
			Origin: registry.FromUpstream,
			Digest: digest.FromBytes(blob),
		}},
		{"GET", "/v2/" + testRepo + "/manifests/absent", nil, registry.Request{
			Status: 404, Bytes: 68, Route: registry.RouteManifest, Repository: repo, Reference: registry.ByTag,
			Tag: "absent",
		}},
		{"PUT", "/v2/" + testRepo + "/manifests/x", nil,
			registry.Request{Status: 405, Bytes: 125, Route: registry.RouteManifest}},
		{"GET", "/elsewhere", nil, registry.Request{Status: 404, Bytes: 75, Route: registry.RouteUnknown}},
	} {
		call(h, c.method, c.path+"?token=secret", append(c.headers, "User-Agent", "bootc/1.16")...)
		c.want.Method, c.want.Path, c.want.Remote, c.want.Agent = c.method, c.path, "192.0.2.1:1234", "bootc/1.16"
		ignore := cmpopts.IgnoreFields(registry.Request{}, "Duration")
		if c.want.Status >= 400 { // the length of a message is of no interest
			c.want.Bytes = got.Bytes
		}
		if diff := cmp.Diff(c.want, got, ignore, equateNames); diff != "" {
			t.Errorf("%s %s: %s", c.method, c.path, diff)
		}
	}
}

// A download counts once: with its last byte, however it is split, resumed or asked about.
func TestToEnd(t *testing.T) {
	t.Parallel()
	backend, _, blob := newFake()
	var got registry.Request
	h := registry.AccessLog(backend.handler(), nil, func(q registry.Request) { got = q })
	for _, c := range []struct {
		method, ranges string
		want           bool
	}{
		{"GET", "", true}, {"GET", "bytes=0-", true}, {"GET", "bytes=100-", true}, {"GET", "bytes=-10", true},
		{"GET", "bytes=0-99999", true},
		{"GET", "bytes=0-3698", false}, {"GET", "bytes=0-3699", true}, {"GET", "bytes=99999-", false}, {"HEAD", "", false},
		{"GET", "bytes=0-9,3690-", false},
	} {
		call(h, c.method, blobURL(blob), "Range", c.ranges)
		if got.ToEnd != c.want || got.Digest != digest.FromBytes(blob) {
			t.Errorf("%s %q: %+v", c.method, c.ranges, got)
		}
	}
	call(h, http.MethodGet, blobURL(blob), "If-None-Match", "*")
	if got.ToEnd {
		t.Error("the client had it")
	}
}

func TestAccessLogLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := registry.AccessLog(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(1500 * time.Millisecond) // of the test's clock
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("flush: %v", err)
			}
			_, _ = w.Write([]byte("abc"))
		}), slog.New(slog.NewJSONHandler(&log, nil)), nil)
		call(h, http.MethodGet, "/"+strings.Repeat("é", 1000), "User-Agent", strings.Repeat("a", 1000))
		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, &log)
		}
		if n := len(line["path"].(string)); n > 514 { // the cut may leave a replacement character
			t.Errorf("path of %d bytes", n)
		}
		if n := len(line["agent"].(string)); n != 256 {
			t.Errorf("agent of %d bytes", n)
		}
		if line["seconds"] != 1.5 || line["bytes"] != 3.0 || line["status"] != 200.0 || line["aborted"] != nil {
			t.Errorf("%s", &log)
		}
	})
}

func TestAccessLogOfPanic(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		write  bool
		status int
	}{{false, 500}, {true, 200}} {
		var got registry.Request
		h := registry.AccessLog(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.write {
				_, _ = w.Write([]byte("ab"))
			}
			panic(http.ErrAbortHandler)
		}), nil, func(q registry.Request) { got = q })
		if p := panicOf(func() {
			h.ServeHTTP(httptest.NewRecorder(),
				httptest.NewRequest(http.MethodGet, "/", nil))
		}); p != http.ErrAbortHandler {
			t.Errorf("panic %v", p)
		}
		if got.Status != c.status || !got.Aborted {
			t.Errorf("%+v", got)
		}
	}
}
