package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

func blobPath(blob []byte) string { return "blobs/" + digest.FromBytes(blob).String() }

func blobURL(blob []byte) string { return "/v2/" + testRepo + "/" + blobPath(blob) }

// lowest is the ResponseWriter at the bottom, which takes readers as net/http's does.
type lowest struct {
	*httptest.ResponseRecorder
	source io.Reader // the last that ReadFrom got
}

func (w *lowest) ReadFrom(r io.Reader) (int64, error) {
	w.source = r
	return io.Copy(w.ResponseRecorder, r)
}

// TestSendfile checks that a file arrives at the bottom as what net/http recognises: an *os.File in an io.LimitedReader.
func TestSendfile(t *testing.T) {
	t.Parallel()
	backend, _, blob := newFake()
	backend.open = openFile(t)
	h := registry.AccessLog(backend.handler(), nil, nil)
	for header, size := range map[string]int{"": len(blob), "bytes=5-14": 10} {
		w := &lowest{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodGet, blobURL(blob), nil)
		r.Header.Set("Range", header)
		h.ServeHTTP(w, r)
		limited, ok := w.source.(*io.LimitedReader)
		if !ok {
			t.Fatalf("range %q: ReadFrom got %T", header, w.source)
		}
		if _, ok := limited.R.(*os.File); !ok {
			t.Errorf("range %q: ReadFrom got a limited %T", header, limited.R)
		}
		if w.Body.Len() != size {
			t.Errorf("range %q: %d bytes, want %d", header, w.Body.Len(), size)
		}
	}
}

// TestBrokenBlob checks over a connection that a client can tell a broken body from a whole one, however it breaks.
func TestBrokenBlob(t *testing.T) {
	t.Parallel()
	small, large := []byte(strings.Repeat("s", 100)), []byte(strings.Repeat("l", 1<<20))
	for _, c := range []struct {
		name string
		open func(t *testing.T) func(content []byte) registry.Blob
	}{
		{"error", func(*testing.T) func([]byte) registry.Blob {
			return func(content []byte) registry.Blob {
				return brokenBlob{bytes.NewReader(content[:len(content)/2]), int64(len(content)),
					errors.New("upstream left")}
			}
		}},
		{"short", func(*testing.T) func([]byte) registry.Blob {
			return func(content []byte) registry.Blob {
				return brokenBlob{bytes.NewReader(content[:len(content)-1]), int64(len(content)), nil}
			}
		}},
		{"panic", func(*testing.T) func([]byte) registry.Blob {
			return func(content []byte) registry.Blob { return brokenBlob{nil, int64(len(content)), nil} }
		}},
		{"short file", func(t *testing.T) func([]byte) registry.Blob {
			open := openFile(t)
			return func(content []byte) registry.Blob {
				return truncated{open(content).(fileBlob)}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, blob := range [][]byte{small, large} {
				for _, ranges := range []string{"", "bytes=-30", "bytes=0-3,-30"} {
					for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
						backend, _, _ := newFake()
						backend.blobs[digest.FromBytes(blob)] = blob
						backend.open = c.open(t)
						if n, err := fetch(t, backend, protocol, blobURL(blob), ranges); err == nil {
							t.Errorf("%s, %d bytes, range %q: the client took %d bytes for a whole body", protocol,
								len(blob), ranges, n)
						}
					}
				}
			}
		})
	}
}

// truncated is a file that loses its last byte after its size was looked at.
type truncated struct{ fileBlob }

func (b truncated) Size() int64 {
	size := b.fileBlob.Size()
	if err := os.Truncate(b.Name(), size-1); err != nil {
		panic(err)
	}
	return size
}

// fetch returns how long the body is that a client gets over a real connection.
func fetch(t *testing.T, backend *fake, protocol, path, ranges string) (int, error) {
	t.Helper()
	server := httptest.NewUnstartedServer(backend.handler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.EnableHTTP2 = protocol == "HTTP/2.0"
	server.StartTLS()
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Range", ranges)
	defer server.Client().CloseIdleConnections()
	resp, err := server.Client().Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.Proto != protocol {
		t.Fatalf("protocol %s, want %s", resp.Proto, protocol)
	}
	body, err := io.ReadAll(resp.Body)
	return len(body), err
}

// shrinking takes the last byte from a file once the headers are out.
type shrinking struct {
	*httptest.ResponseRecorder
	path string
	size int64
}

func (w shrinking) WriteHeader(status int) {
	w.ResponseRecorder.WriteHeader(status)
	if err := os.Truncate(w.path, w.size-1); err != nil {
		panic(err)
	}
}

// TestShrinkingFile checks that the end of a file before its time is noticed although the kernel sends it.
func TestShrinkingFile(t *testing.T) {
	t.Parallel()
	backend, _, blob := newFake()
	var path string
	open := openFile(t)
	backend.open = func(content []byte) registry.Blob {
		b := open(content)
		path = b.(fileBlob).Name()
		return b
	}
	call(backend.handler(), http.MethodGet, blobURL(blob)) // to learn the path
	w := shrinking{httptest.NewRecorder(), path, int64(len(blob))}
	r := httptest.NewRequest(http.MethodGet, blobURL(blob), nil)
	if p := panicOf(func() { backend.handler().ServeHTTP(w, r) }); p != http.ErrAbortHandler {
		t.Errorf("panic %v after %d of %d bytes", p, w.Body.Len(), len(blob))
	}
}

// TestBrokenBlobLogged checks that a connection that the upstream lost is not taken for one that the client lost.
func TestBrokenBlobLogged(t *testing.T) {
	t.Parallel()
	backend, _, blob := newFake()
	backend.open = func(content []byte) registry.Blob {
		return brokenBlob{bytes.NewReader(content[:9]), int64(len(content)), syscall.ECONNRESET}
	}
	var log bytes.Buffer
	h := registry.New(backend.options(slog.New(slog.NewTextHandler(&log, nil))))
	if p := panicOf(func() { call(h, http.MethodGet, blobURL(blob)) }); p != http.ErrAbortHandler {
		t.Errorf("panic %v", p)
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("log: %q", &log)
	}
}

// TestUnopened checks that only a body opens a blob.
func TestUnopened(t *testing.T) {
	t.Parallel()
	backend, _, blob := newFake()
	h := backend.handler()
	call(h, http.MethodHead, blobURL(blob))
	call(h, http.MethodGet, blobURL(blob), "If-None-Match", `"`+digest.FromBytes(blob).String()+`"`)
	call(h, http.MethodGet, blobURL(blob), "Range", "bytes=0-0"+strings.Repeat(",0-0", 2000))
	if backend.opened != 0 {
		t.Errorf("opened %d times", backend.opened)
	}
	call(h, http.MethodGet, blobURL(blob))
	if backend.opened != 1 {
		t.Errorf("a GET opened %d times", backend.opened)
	}
}

// hanging is a blob whose Read waits for its context's end; Close must not come before.
type hanging struct {
	memoryBlob
	ctx     context.Context
	reading atomic.Bool
	overlap atomic.Bool
	entered chan struct{}
}

func (b *hanging) Read([]byte) (int, error) {
	b.reading.Store(true)
	defer b.reading.Store(false)
	close(b.entered)
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func (b *hanging) Close() error {
	b.overlap.Store(b.reading.Load())
	return nil
}

type hangingBlobs struct {
	*fake
	blob *hanging
}

func (h hangingBlobs) OpenBlob(ctx context.Context, _ name.Repository, _ digest.Digest) (registry.Blob, error) {
	h.blob.ctx = ctx
	return h.blob, nil
}

func (h hangingBlobs) OpenRanges(ctx context.Context, repo name.Repository, d digest.Digest, _ int64) (registry.Blob,
	error) {
	return h.OpenBlob(ctx, repo, d)
}

// leaving is a connection whose client leaves once the blob is being read.
type leaving struct {
	*httptest.ResponseRecorder
	after chan struct{}
}

func (w leaving) Write([]byte) (int, error) {
	<-w.after
	return 0, errors.New("connection reset")
}

// TestCloseAfterRead checks that a blob is closed only after the goroutine that net/http reads ranges in has let go of it,
// and that the handler makes it let go.
func TestCloseAfterRead(t *testing.T) {
	t.Parallel()
	backend, _, blob := newFake()
	b := &hanging{memoryBlob: memoryBlob{bytes.NewReader(blob)}, entered: make(chan struct{})}
	o := backend.options(nil)
	o.Blobs = hangingBlobs{backend, b}
	r := httptest.NewRequest(http.MethodGet, blobURL(blob), nil)
	r.Header.Set("Range", "bytes=0-1,5-6")
	w := leaving{httptest.NewRecorder(), b.entered}
	if p := panicOf(func() { registry.New(o).ServeHTTP(w, r) }); p != http.ErrAbortHandler {
		t.Errorf("panic %v", p)
	}
	if b.overlap.Load() {
		t.Error("closed during a read")
	}
}

func TestManifestContract(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*fake, *registry.Manifest){
		"other digest":  func(_ *fake, m *registry.Manifest) { m.Digest = digest.FromString("other") },
		"no digest":     func(_ *fake, m *registry.Manifest) { m.Digest = "" },
		"no media type": func(_ *fake, m *registry.Manifest) { m.MediaType = "" },
		"nothing":       func(f *fake, m *registry.Manifest) { clear(f.manifests); f.manifests["x"] = nil },
	} {
		backend, m, _ := newFake()
		reference := m.Digest.String()
		if name == "nothing" {
			reference = "x"
		}
		spoil(backend, m)
		if w := call(backend.handler(), http.MethodGet,
			"/v2/"+testRepo+"/manifests/"+reference); w.Code != http.StatusInternalServerError {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}

// A manifest is sent by a way of its own where nothing but all of it is asked for. Clients see no difference.
func TestPlainRequest(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		var answers []*http.Response
		for _, condition := range []string{"", `"another"`} {
			backend, _, _ := newFake()
			s := httptest.NewServer(backend.handler())
			defer s.Close()
			r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/v2/"+testRepo+"/manifests/"+testTag, nil)
			if err != nil {
				t.Fatal(err)
			}
			if condition != "" {
				r.Header.Set("If-None-Match", condition)
			}
			resp, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			resp.Header.Del("Date")
			answers = append(answers, resp)
		}
		plain, conditional := answers[0], answers[1]
		if plain.StatusCode != http.StatusOK || plain.StatusCode != conditional.StatusCode || plain.ContentLength <= 0 {
			t.Errorf("%s: %s and %s, %d bytes", method, plain.Status, conditional.Status, plain.ContentLength)
		}
		if diff := cmp.Diff(conditional.Header, plain.Header); diff != "" {
			t.Errorf("%s: %s", method, diff)
		}
		var bodies [2][]byte
		for i, a := range answers {
			var err error
			if bodies[i], err = io.ReadAll(a.Body); err != nil {
				t.Error(err)
			}
		}
		if !bytes.Equal(bodies[0], bodies[1]) {
			t.Errorf("%s: %d and %d bytes", method, len(bodies[0]), len(bodies[1]))
		}
	}
}
