package pulltest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/server/wiring"
	"github.com/strata-oci/strata/proxy/trust"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/proxy/upstream/transport"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// clock is a time that moves when told.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// harness is the rooms of a proxy with their upstream, on a store in memory.
type harness struct {
	*wiring.Rooms
	chunks *chunkstore.Store
	t      testing.TB
	up     *fakeUpstream
	evil   *fakeUpstream // at evil.test
	clock  *clock
	driver storagedriver.StorageDriver
	rule   config.Rule // of every repository; Family is the repository where empty
	// signing is what the configuration says of it.
	signing trust.SigningSettings
	// deltas bounds what is done for deltas; nil: none are made.
	deltas func() config.Deltas
	// casync says how images are served as chunks; the zero value: they are not.
	casync config.Casync
	jobs   int
	ruled  atomic.Bool // whether not everybody may pull everything
	leases *lease.Leases
	// workDir is a temporary directory where empty; workBytes bounds it.
	workDir   string
	workBytes int64
	// callLimit is the store's, recordAge the service's.
	callLimit, recordAge time.Duration
	log                  *bytes.Buffer
	// failures counts what failed at the upstream.
	failures atomic.Int64
	reg      *prometheus.Registry
}

var testRepo = nametest.Repository("registry.test/org/os")

// ruleOf returns the settings of a repository.
func (h *harness) ruleOf(repository string) config.Rule {
	r := h.rule
	if r.Family == "" {
		r.Family = repository
	}
	return r
}

// Error implements upstream.Observer, and so do the next two.
func (h *harness) Error(string, upstream.Kind) { h.failures.Add(1) }

// Request tells of a request.
func (h *harness) Request(string, string, int) {}

// Bytes tells of what was received.
func (h *harness) Bytes(string, int) {}

func newHarness(t testing.TB, change ...func(*harness)) *harness {
	t.Helper()
	h := &harness{t: t, up: newUpstream(t), evil: newUpstream(t), clock: &clock{at: epoch}, driver: inmemory.New(),
		rule: config.DefaultRule(), log: &bytes.Buffer{}}
	h.rule.FirstPullTimeout = config.Duration(time.Minute)
	for _, c := range change {
		c(h)
	}
	t.Cleanup(func() { // after all that start cleans up
		if t.Failed() {
			t.Logf("log:\n%s", h.log)
		}
	})
	h.start()
	return h
}

// start opens the store and makes the rooms.
func (h *harness) start() {
	h.t.Helper()
	chunks, err := chunkstore.New(h.driver, chunkstore.Options{CallLimit: h.callLimit})
	if err != nil {
		h.t.Fatal(err)
	}
	h.startOn(chunks)
}

func (h *harness) startOn(chunks *chunkstore.Store) {
	h.t.Helper()
	upstreams, err := client.New(client.Options{
		Hosts: map[string]client.Config{
			testRepo.Host(): {Config: transport.Config{URL: h.up.URL}, Attempts: 2},
			"evil.test":     {Config: transport.Config{URL: h.evil.URL}, Attempts: 2},
		},
		Keychain: anonymous{}, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		Observer: h,
		Now:      h.clock.now,
		Sleep:    func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.reg = prometheus.NewRegistry()
	h.chunks, h.workDir = chunks, cmp.Or(h.workDir, h.t.TempDir())
	h.Rooms = wiring.New(wiring.Options{
		Chunks: chunks, Upstream: upstreams, Rule: h.ruleOf, Ruled: h.ruled.Load,
		Signing: func() trust.SigningSettings { return h.signing }, WorkDir: h.workDir, WorkBytes: h.workBytes,
		Jobs: h.jobs, Deltas: h.deltas, Casync: func() config.Casync { return h.casync },
		Now: h.clock.now, Version: "test", Metrics: metrics.New(h.reg),
		Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: h.log}, nil)),
		Store:  operate.Store{Driver: "inmemory", Used: h.used}, Leases: h.leases, RecordAge: h.recordAge,
	})
	rooms := h.Rooms
	h.t.Cleanup(func() {
		if err := rooms.Close(context.Background()); err != nil {
			h.t.Errorf("close: %v", err)
		}
		upstreams.Close()
	})
}

// used is the size of the store.
func (h *harness) used() int64 {
	var total int64
	if err := h.chunks.Walk(context.Background(), func(i chunkstore.Info) error {
		total += i.Size
		return nil
	}); err != nil {
		h.t.Error(err)
	}
	return total
}

// restart is what a new process sees.
func (h *harness) restart() {
	h.t.Helper()
	if err := h.Close(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.start()
}

type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// refresh lets the tags' records become old.
func (h *harness) refresh() { h.clock.advance(time.Duration(h.rule.Refresh) + time.Second) }

// pull asks for a tag and fails the test when the answer is not of a kind.
func (h *harness) pull(tag string, want registry.Served) *registry.Manifest {
	h.t.Helper()
	m, err := h.Images.Manifest(h.t.Context(), testRepo, name.Reference(tag))
	if err != nil {
		h.t.Fatalf("pull %s: %v", tag, err)
	}
	if m.Served != want {
		h.t.Fatalf("pull %s: served %s, want %s", tag, m.Served, want)
	}
	if got := m.Digest.Algorithm().FromBytes(m.Bytes); got != m.Digest {
		h.t.Fatalf("pull %s: bytes of %s under the digest %s", tag, got, m.Digest)
	}
	return m
}

// pullError asks for a tag and returns the error for the client.
func (h *harness) pullError(tag string) *registry.Error {
	h.t.Helper()
	m, err := h.Images.Manifest(h.t.Context(), testRepo, name.Reference(tag))
	if err == nil {
		h.t.Fatalf("pull %s: got %s", tag, m.Served)
	}
	return asClientError(h.t, err)
}

func asClientError(t testing.TB, err error) *registry.Error {
	t.Helper()
	var e *registry.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an error for clients", err, err)
	}
	return e
}

// blob reads a blob as a client does.
func (h *harness) blob(d digest.Digest) []byte {
	h.t.Helper()
	b, err := h.Images.OpenBlob(h.t.Context(), testRepo, d)
	if err != nil {
		h.t.Fatalf("blob %s: %v", d, err)
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	if err != nil || digest.FromBytes(got) != d || int64(len(got)) != b.Size() {
		h.t.Fatalf("blob %s: %d bytes of %d with the digest %s: %v", d, len(got), b.Size(), digest.FromBytes(got), err)
	}
	return got
}

// filesystem reads all blobs of an image and flattens them. Times are left to the engine's own tests.
func (h *harness) filesystem(manifest []byte) *tree.Tree {
	h.t.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		h.t.Fatal(err)
	}
	h.blob(m.Config.Digest)
	var indexes []*tree.Index
	for _, l := range m.Layers {
		s, err := scan.Layer(h.t.Context(), bytes.NewReader(h.blob(l.Digest)), scan.Options{})
		if err != nil {
			h.t.Fatal(err)
		}
		indexes = append(indexes, s.Index)
	}
	t, err := tree.Flatten(h.t.Context(), indexes, tree.Limits{}.OrDefault())
	if err != nil {
		h.t.Fatal(err)
	}
	return t
}

// same fails the test unless a served image has the filesystem of a source image.
func (h *harness) same(served *registry.Manifest, source digest.Digest) {
	h.t.Helper()
	want, err := h.Images.Manifest(h.t.Context(), testRepo, name.Reference(source))
	if err != nil {
		h.t.Fatal(err)
	}
	if want.Digest != source || want.Served != registry.Original {
		h.t.Fatalf("source %s is answered with %s %s", source, want.Served, want.Digest)
	}
	if diffs := tree.Diff(h.filesystem(want.Bytes), h.filesystem(served.Bytes), tree.DiffOptions{Most: 5}); len(diffs) > 0 {
		h.t.Fatalf("served image is not the source's filesystem: %v", diffs)
	}
}

// layers lists the layers of an image.
func layers(t testing.TB, m *registry.Manifest) []digest.Digest {
	t.Helper()
	return content.BlobsOf(m.Bytes)[1:]
}
