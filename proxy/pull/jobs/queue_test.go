package jobs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
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

// noBlobs are not there, and none is damaged.
type noBlobs struct{}

func (noBlobs) Source(name.Repository) rechunk.Source    { return noBlobs{} }
func (noBlobs) DropDamaged(context.Context, []byte) bool { return false }
func (noBlobs) Blob(context.Context, ocispec.Descriptor) (io.ReadCloser, error) {
	return nil, errors.New("no blobs")
}

func (noBlobs) Prove(context.Context, name.Repository, *registry.Manifest, bool) error { return nil }

type noDemand struct{}

func (noDemand) Demand(context.Context, string) (plan.Demand, error) { return plan.Demand{}, nil }

func newQueue(t *testing.T, e engine) (*Queue, *background.Group) {
	t.Helper()
	return newQueueOn(t, e, inmemory.New(), time.Now)
}

// newQueueOn makes the queue of a process on a store, by a clock.
func newQueueOn(t *testing.T, e engine, driver storagedriver.StorageDriver, now func() time.Time) (*Queue, *background.Group) {
	t.Helper()
	chunks, err := chunkstore.New(driver, chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	work := background.New(background.Options{})
	t.Cleanup(func() {
		if err := work.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return New(Options{
		Engine: e, Blobs: noBlobs{}, Demand: noDemand{}, Metrics: (*metrics.Metrics)(nil), Work: work, AtOnce: 1, WorkDir: t.TempDir(),
		Attempts: catalog.New(chunks, nil).Attempts, Logger: slog.New(slog.DiscardHandler), Now: now,
	}), work
}

func numbered(i int) source { return source{digest: digest.FromString(strconv.Itoa(i))} }

func untilStopped(ctx context.Context, _ rechunk.Request) (*rechunk.Result, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestJobsAreBounded(t *testing.T) {
	t.Parallel()
	q, _ := newQueue(t, untilStopped)
	for i := range maxJobs {
		if _, err := q.start(numbered(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.start(numbered(maxJobs), nil); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	if _, err := q.start(numbered(7), nil); err != nil {
		t.Errorf("a job that is there: %v", err)
	}
}

func TestNoJobAfterStop(t *testing.T) {
	t.Parallel()
	q, work := newQueue(t, untilStopped)
	work.Stop()
	if _, err := q.start(numbered(1), nil); !errors.Is(err, background.ErrClosed) {
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
	if _, err := q.do(t.Context(), numbered(1), nil); !errors.As(err, &panicked) {
		t.Errorf("got %v", err)
	}
	if _, err := q.do(t.Context(), numbered(2), nil); err != nil {
		t.Errorf("the next: %v", err)
	}
	if c := q.Counts(); c.Failed != 1 || c.Done != 1 || c.Running+c.Queued != 0 {
		t.Errorf("%+v", c)
	}
}

// A process that died of an image does not die of it again at the next pull; it is tried again later, and what ends well leaves nothing.
func TestDeathCountsAsFailure(t *testing.T) {
	t.Parallel()
	driver, clock := inmemory.New(), time.Unix(1_700_000_000, 0)
	now := func() time.Time { return clock }
	tried := 0
	works := func(context.Context, rechunk.Request) (*rechunk.Result, error) {
		tried++
		return &rechunk.Result{}, nil
	}
	die := func() { // what a killed process leaves
		q, _ := newQueueOn(t, works, driver, now)
		j := &job{source: numbered(1), key: numbered(1).key()}
		clock = clock.Add(time.Second)
		before, err := q.Attempts.Get(t.Context(), attemptKey(j))
		if err != nil {
			t.Fatal(err)
		}
		tries := 1
		if before != nil {
			tries += before.Tries
		}
		if err := q.Attempts.Put(t.Context(), attemptKey(j), &catalog.Attempt{Source: j.digest, StartedAt: clock, Replica: q.replica, Tries: tries}); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(time.Second)
	}
	for i := range 2 {
		die()
		q, _ := newQueueOn(t, works, driver, now)
		if _, err := q.do(t.Context(), numbered(1), nil); !errors.Is(err, ErrDied) || tried != 0 {
			t.Errorf("death %d: %v, tried %d times", i+1, err, tried)
		}
		if _, err := q.do(t.Context(), numbered(2+i), nil); err != nil {
			t.Errorf("another image: %v", err)
		}
		tried = 0
		clock = clock.Add(firstRetry << i)
		if i == 0 {
			continue
		}
		for range 2 {
			if _, err := q.do(t.Context(), numbered(1), nil); err != nil {
				t.Errorf("later: %v", err)
			}
		}
		if rec, err := q.Attempts.Get(t.Context(), attemptKey(&job{key: numbered(1).key()})); rec != nil || err != nil {
			t.Errorf("what ended well left %+v, %v", rec, err)
		}
	}
}
