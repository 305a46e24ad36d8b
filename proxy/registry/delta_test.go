package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// OpenDelta implements registry.Deltas: what is asked for is noted, and answered with the blob of that digest.
func (f *fake) OpenDelta(_ context.Context, repo name.Repository, q registry.DeltaQuery) (*registry.Delta, error) {
	f.saw(repo)
	f.delta = q
	if f.fail != nil {
		return nil, f.fail
	}
	b, ok := f.blobs[q.Layer]
	if !ok {
		return nil, registry.BlobUnknown("no such blob")
	}
	size := int64(len(b))
	var body io.Reader = bytes.NewReader(b)
	if f.grows != nil {
		size, body = -1, f.grows
	}
	return &registry.Delta{ReadCloser: io.NopCloser(body), Seed: q.Seeds[0], Size: size}, nil
}

// Formats implements registry.Deltas.
func (f *fake) Formats() string { return "1" }

var seedA, seedB = digest.FromString("a"), digest.FromString("b")

func deltaURL(layer digest.Digest, more string) string {
	return fmt.Sprintf("/strata/v1/delta?repository=%s&layer=%s%s", url.QueryEscape(testRepo), layer, more)
}

func TestDelta(t *testing.T) {
	t.Parallel()
	backend, _, blob := newFake()
	h := backend.handler()
	layer := digest.FromBytes(blob)
	got := call(h, http.MethodGet, deltaURL(layer, "&seed="+seedA.String()+"&seed="+seedB.String()+"&seed="+seedA.String()+
		"&worth=70000&later=x"), "Strata-Encoders", "xz/5.8.1, gzip/1.13-1,", "Strata-Layers",
		"klauspost/compress v1 zstd level=better, other-one 2", "Prefer", `respond-later, wait="7"; x=1`)
	want := registry.DeltaQuery{Layer: layer, Seeds: []digest.Digest{seedA, seedB}, Worth: 70000,
		Encoders: []string{"xz/5.8.1", "gzip/1.13-1"},
		Layers:   []string{"klauspost/compress v1 zstd level=better", "other-one 2"}, Wait: 7 * time.Second}
	if diff := cmp.Diff(want, backend.delta); diff != "" || backend.repo.String() != testRepo {
		t.Errorf("%s %s", backend.repo, diff)
	}
	head := got.Header()
	if got.Code != http.StatusOK || !bytes.Equal(got.Body.Bytes(), blob) || head.Get("Strata-Seed") != seedA.String() ||
		head.Get("Content-Type") != "application/vnd.strata.delta.v1" ||
		head.Get("Content-Length") != fmt.Sprint(len(blob)) ||
		head.Get("Cache-Control") != "no-store" {
		t.Errorf("%d, %d bytes, %v", got.Code, got.Body.Len(), head)
	}
	for prefer, want := range map[string]time.Duration{
		"": 10 * time.Second, "wait=0": 0, "wait=3": 3 * time.Second, "respond-async": 0, "respond-async, wait=9": 0,
		"wait=x": 10 *
			time.Second, "wait=-1": 10 * time.Second, "wait=1000000": time.Minute, "Wait=5": 5 * time.Second,
	} {
		if call(h, http.MethodGet, deltaURL(layer, "&seed="+seedA.String()), "Prefer", prefer); backend.delta.Wait != want {
			t.Errorf("%q: waits %s", prefer, backend.delta.Wait)
		}
	}
	if got := call(h, http.MethodGet, "/v2/").Header().Get("Strata-Deltas"); got != "1" {
		t.Errorf("/v2/ says %q", got)
	}
}

func TestDeltaRefused(t *testing.T) {
	t.Parallel()
	backend, _, blob := newFake()
	h := backend.handler()
	layer := digest.FromBytes(blob)
	ask := deltaURL(layer, "&seed="+seedA.String())
	backend.fail = fmt.Errorf("asked: %w", &registry.NoDelta{Reason: "gain", Message: "too large"})
	got := call(h, http.MethodGet, ask)
	if got.Code != http.StatusNotFound || got.Header().Get("Strata-Delta-Refused") != "gain" ||
		!strings.Contains(got.Body.String(), `"DELTA_UNKNOWN"`) {
		t.Errorf("%d %v %s", got.Code, got.Header(), got.Body)
	}
	backend.fail = &registry.NoDelta{RetryAfter: 1500 * time.Millisecond}
	if got := call(h, http.MethodGet, ask); got.Code != http.StatusAccepted || got.Header().Get("Retry-After") != "2" {
		t.Errorf("%d %v", got.Code, got.Header())
	}
	backend.fail = registry.BlobUnknown("no such blob")
	if got := call(h, http.MethodGet, ask); got.Code != http.StatusNotFound ||
		got.Header().Get("Strata-Delta-Refused") != "" ||
		!strings.Contains(got.Body.String(), `"BLOB_UNKNOWN"`) {
		t.Errorf("%d %v %s", got.Code, got.Header(), got.Body)
	}
	backend.fail = nil
	if got := call(h, http.MethodHead, ask); got.Code != http.StatusMethodNotAllowed || got.Header().Get("Allow") != "GET" {
		t.Errorf("HEAD: %d %v", got.Code, got.Header())
	}
	o := backend.options(nil)
	o.Deltas = nil
	without := registry.New(o)
	if got := call(without, http.MethodGet, ask); got.Code != http.StatusNotFound {
		t.Errorf("without deltas: %d", got.Code)
	}
	if got := call(without, http.MethodGet, "/v2/").Header(); len(got.Values("Strata-Deltas")) > 0 {
		t.Errorf("without deltas, /v2/ says %v", got)
	}
}

// Hostile queries end before the backend hears of them.
func TestDeltaQueries(t *testing.T) {
	t.Parallel()
	backend, _, blob := newFake()
	h := backend.handler()
	layer := digest.FromBytes(blob)
	one := "&seed=" + seedA.String()
	for ask, want := range map[string]int{
		deltaURL(layer, ""):                                                   400,
		deltaURL(layer, "&seed="):                                             400,
		deltaURL(layer, "&seed=sha256:x"):                                     400,
		deltaURL(layer, "&seed=stable"):                                       400,
		deltaURL("sha256:../../x", one):                                       400,
		deltaURL("", one):                                                     400,
		deltaURL(layer, strings.Repeat(one, 16)):                              200,
		deltaURL(layer, strings.Repeat(one, 17)):                              400,
		deltaURL(layer, strings.Repeat(one, 1000)):                            414,
		deltaURL(layer, one+"&worth=99999999999999999999999"):                 400,
		deltaURL(layer, one+"&worth=9223372036854775807"):                     200,
		deltaURL(layer, one+"&worth=-1"):                                      400,
		deltaURL(layer, one+"&worth=1e3"):                                     400,
		deltaURL(layer, one+"&worth=1&worth=2"):                               400,
		deltaURL(layer, one+"&layer="+seedA.String()):                         400,
		deltaURL(layer, one+"&repository=a/b"):                                400,
		deltaURL(layer, one+"&%zz"):                                           400,
		"/strata/v1/delta?layer=" + layer.String() + one:                      404,
		"/strata/v1/delta?repository=../../etc&layer=" + layer.String() + one: 400,
		"/strata/v1/delta":                                                    404,
	} {
		backend.delta = registry.DeltaQuery{}
		got := call(h, http.MethodGet, ask)
		if got.Code != want || (want == 200) != (backend.delta.Layer != "") {
			t.Errorf("%.100s: %d, want %d", ask, got.Code, want)
		}
	}
	for header, want := range map[string]int{
		"xz/5.8": 200, "xz": 400, "xz/": 400, "/1": 400, "xz/5 8": 400, "XZ/5": 400, "../xz/5": 400, "xz/5;rm": 400,
		"xz/5\x00":                 400,
		strings.Repeat("a/1,", 32): 200, strings.Repeat("a/1,", 33): 400, strings.Repeat(",", 5000): 400,
		"a/" + strings.Repeat("1", 32): 200, "a/" + strings.Repeat("1", 33): 400,
	} {
		if got := call(h, http.MethodGet, deltaURL(layer, one), "Strata-Encoders", header); got.Code != want {
			t.Errorf("Strata-Encoders: %.40q: %d, want %d", header, got.Code, want)
		}
	}
}

// A client sees what there is of a delta while it is being made, and that one broke off.
func TestDeltaGrows(t *testing.T) {
	t.Parallel()
	for _, broken := range []error{nil, errors.New("it can't be made")} {
		backend, _, blob := newFake()
		r, w := io.Pipe()
		backend.grows = r
		server := httptest.NewServer(backend.handler())
		t.Cleanup(server.Close)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+
			deltaURL(digest.FromBytes(blob), "&seed="+seedA.String()), nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = w.Write([]byte("first")) }()
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" || resp.ContentLength != -1 {
			t.Errorf("%q of %d bytes: %v", first, resp.ContentLength, err)
		}
		go func() {
			_, _ = w.Write([]byte("rest"))
			_ = w.CloseWithError(broken)
		}()
		rest, err := io.ReadAll(resp.Body)
		if string(rest) != "rest" && broken == nil || (err != nil) != (broken != nil) {
			t.Errorf("%q, %v", rest, err)
		}
		_ = resp.Body.Close()
	}
}

// FuzzDelta: whatever is asked, a backend gets a query within bounds, or nothing.
func FuzzDelta(f *testing.F) {
	f.Add("repository=ghcr.io/a/b&layer="+seedA.String()+"&seed="+seedB.String()+"&worth=1", "xz/5.8, gzip/1", "wait=3")
	backend, _, _ := newFake()
	h := backend.handler()
	f.Fuzz(func(t *testing.T, query, encoders, prefer string) {
		backend.delta = registry.DeltaQuery{}
		r := httptest.NewRequest(http.MethodGet, "/strata/v1/delta", nil)
		r.URL.RawQuery = query
		r.Header.Set("Strata-Encoders", encoders)
		r.Header.Set("Prefer", prefer)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		q := backend.delta
		if q.Layer == "" {
			if w.Code < 400 {
				t.Errorf("%q: %d", query, w.Code)
			}
			return
		}
		if len(q.Seeds) < 1 || len(q.Seeds) > 16 || len(q.Encoders) > 32 || q.Worth < 0 || q.Wait < 0 ||
			q.Wait > time.Minute ||
			q.Layer.Validate() != nil {
			t.Errorf("%q: %+v", query, q)
		}
	})
}
