package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine does what it is told.
type engine func(ctx context.Context, req rechunk.Request) (*rechunk.Result, error)

func (e engine) Rechunk(ctx context.Context, req rechunk.Request) (*rechunk.Result, error) {
	return e(ctx, req)
}

func (e engine) Adopt(context.Context, rechunk.Request) (bool, error) { return false, nil }

// blobs are stored when they were kept, which takes until they come.
type blobs struct {
	comes chan struct{}
	mu    sync.Mutex
	kept  map[digest.Digest]bool
	full  bool // nothing can be kept
}

func (b *blobs) Source(name.Repository) rechunk.Source    { return b }
func (b *blobs) DropDamaged(context.Context, []byte) bool { return false }
func (b *blobs) Stored(_ context.Context, _ name.Repository, d digest.Digest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept[d]
}

func (b *blobs) Keep(ctx context.Context, _ name.Repository, d digest.Digest, _ int64) error {
	if b.full {
		return chunkstore.ErrNoSpace
	}
	select {
	case <-b.comes:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept[d] = true
	return nil
}

// Blob waits for what is not stored.
func (b *blobs) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if !b.Stored(ctx, name.Repository{}, d.Digest) {
		select {
		case <-b.comes:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return io.NopCloser(strings.NewReader("a layer")), nil
}

var someLayer = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("layer"), Size: 7}

// manifests are all the same, of an image with one layer.
type manifests struct {
	Manifests
	asked atomic.Int32
}

func (m *manifests) Get(context.Context, name.Repository, digest.Digest) (*registry.Manifest, error) {
	m.asked.Add(1)
	b, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString("config"), Size: 1},
		Layers: []ocispec.Descriptor{someLayer},
	})
	return &registry.Manifest{MediaType: ocispec.MediaTypeImageManifest, Bytes: b}, err
}

// noIndexes are those of layers that nobody has read.
type noIndexes struct{}

func (noIndexes) Get(context.Context, digest.Digest) (*rechunk.IndexRecord, error) { return nil, nil }

// attempts are records in memory.
type attempts struct {
	mu   sync.Mutex
	recs map[string]catalog.Attempt
}

func (a *attempts) Get(_ context.Context, key string) (*catalog.Attempt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if rec, ok := a.recs[key]; ok {
		return &rec, nil
	}
	return nil, nil
}

func (a *attempts) Put(ctx context.Context, key string, rec *catalog.Attempt) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() == nil {
		a.recs[key] = *rec
	}
	return context.Cause(ctx)
}

func (a *attempts) Delete(ctx context.Context, key string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() == nil {
		delete(a.recs, key)
	}
	return context.Cause(ctx)
}

func (*blobs) Prove(context.Context, name.Repository, *registry.Manifest, bool) error { return nil }

type noDemand struct{}

func (noDemand) Demand(context.Context, string) (plan.Demand, error) { return plan.Demand{}, nil }

func newQueue(t *testing.T, e engine, change ...func(*Options)) (*Queue, *background.Group) {
	t.Helper()
	dir := t.TempDir() // removed when the work has ended
	work := background.New(background.Options{})
	t.Cleanup(func() {
		if err := work.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o := Options{
		Engine: e, Manifests: &manifests{}, Blobs: &blobs{kept: map[digest.Digest]bool{}, comes: make(chan struct{})},
		Indexes:  noIndexes{},
		Attempts: &attempts{recs: map[string]catalog.Attempt{}}, Demand: noDemand{}, Metrics: (*metrics.Metrics)(nil),
		Work: work, AtOnce: 1,
		WorkDir: dir, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	for _, c := range change {
		c(&o)
	}
	return New(o), work
}

func numbered(i int) source {
	return source{repo: nametest.Repository("registry.test/os/image"), digest: digest.FromString(strconv.Itoa(i))}
}

// of is another image of another repository.
func of(repository string, i int) source {
	return source{repo: nametest.Repository(repository), digest: digest.FromString(repository + strconv.Itoa(i))}
}

func untilStopped(ctx context.Context, _ rechunk.Request) (*rechunk.Result, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestJobsAreBounded(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		most       int
		repository func(i int) string
	}{
		"all":             {maxJobs, func(i int) string { return fmt.Sprintf("host%d.test/os/image", i) }},
		"of a host":       {maxHostJobs, func(i int) string { return fmt.Sprintf("a.test/os/image%d", i) }},
		"of a repository": {maxRepositoryJobs, func(int) string { return "a.test/os/image" }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			q, _ := newQueue(t, untilStopped)
			for i := range c.most {
				if _, err := q.start(t.Context(), of(c.repository(i), i)); err != nil {
					t.Fatal(i, err)
				}
			}
			if _, err := q.start(t.Context(), of(c.repository(c.most), c.most)); !errors.Is(err, errBusy) {
				t.Errorf("got %v", err)
			}
			if _, err := q.start(t.Context(), of(c.repository(7), 7)); err != nil {
				t.Errorf("a job that is there: %v", err)
			}
			if _, err := q.start(t.Context(), of("another.test/os/image", 1)); (err == nil) != (c.most < maxJobs) {
				t.Errorf("a job of another host: %v", err)
			}
		})
	}
}

func TestNoJobAfterStop(t *testing.T) {
	t.Parallel()
	q, work := newQueue(t, untilStopped)
	work.Stop()
	if _, err := q.start(t.Context(), numbered(1)); !errors.Is(err, background.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A job that panics fails; the next one has its place.
func TestPanicCostsOneJob(t *testing.T) {
	t.Parallel()
	bad := digest.FromString("1")
	q, _ := newQueue(t, func(_ context.Context, req rechunk.Request) (*rechunk.Result, error) {
		if req.Digest == bad {
			panic("this image")
		}
		return &rechunk.Result{}, nil
	})
	var panicked *background.PanicError
	if _, err := q.do(t.Context(), numbered(1)); !errors.As(err, &panicked) {
		t.Errorf("got %v", err)
	}
	if _, err := q.do(t.Context(), numbered(2)); err != nil {
		t.Errorf("the next: %v", err)
	}
	if c := q.Counts(); c.Failed != 1 || c.Done != 1 || c.Running+c.Queued != 0 {
		t.Errorf("%+v", c)
	}
}
