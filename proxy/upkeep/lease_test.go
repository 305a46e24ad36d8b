package upkeep

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/lease"
)

// replicas opens two keepers on one store, each with what it knows of the store's size.
func replicas(t *testing.T) (f *fixture, both [2]*fixture) {
	t.Helper()
	backend := lease.NewLocal() // stands for the Redis that they share
	f = newFixture(t, nil, keepAllVersions)
	for i := range both {
		both[i] = &fixture{t: t, driver: f.driver, clock: f.clock}
		f.must(both[i].open(func(o *Options) {
			keepAllVersions(o)
			o.Leases = lease.New(backend, nil)
			o.Alone = func() bool { return false }
		}))
	}
	return f, both
}

// While one replica collects, evicts or measures, the others do none of these; a scrub goes on beside them, one at a time.
func TestReplicasTakeTurns(t *testing.T) {
	t.Parallel()
	f, both := replicas(t)
	crowded(f)
	var tried sync.Once
	_, err := both[0].keeper.GC(t.Context(), GCOptions{Progress: func(string, int64, int64) {
		tried.Do(func() {
			other := both[1].keeper
			_, gc := other.GC(t.Context(), GCOptions{})
			_, evict := other.Evict(t.Context())
			_, prune := other.Prune(t.Context(), PruneOptions{Name: testRepo})
			for work, err := range map[string]error{"gc": gc, "evict": evict, "prune": prune,
				"measure": other.Measure(t.Context())} {
				if !errors.Is(err, ErrBusy) {
					t.Errorf("%s of another replica: %v", work, err)
				}
			}
			if _, err := other.Scrub(t.Context(), ScrubOptions{}); err != nil {
				t.Errorf("scrub of another replica: %v", err)
			}
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	var scrub error
	_, err = both[0].keeper.Scrub(t.Context(), ScrubOptions{Progress: func(string, int64, int64) {
		_, scrub = both[1].keeper.Scrub(t.Context(), ScrubOptions{})
	}})
	if err != nil || !errors.Is(scrub, ErrBusy) {
		t.Errorf("%v, a second scrub: %v", err, scrub)
	}
	if _, err := both[1].keeper.GC(t.Context(), GCOptions{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A replica that does not know that another one has made room evicts nothing more.
func TestReplicasEvictOnce(t *testing.T) {
	t.Parallel()
	f, both := replicas(t)
	versions := crowded(f)
	for _, r := range both {
		f.must(r.keeper.Measure(t.Context()))
		r.setQuota(70 * kib)
	}
	first, err := both[0].keeper.Evict(t.Context())
	if err != nil || !first.Met {
		t.Fatalf("%+v, %v", first, err)
	}
	if both[1].usage.excess(highPercent) == 0 {
		t.Fatal("the other replica is told of it already")
	}
	f.clock.advance(7 * time.Hour) // what waited may go
	if _, err := both[0].keeper.GC(t.Context(), GCOptions{}); err != nil {
		t.Fatal(err)
	}
	second, err := both[1].keeper.Evict(t.Context())
	if err != nil || !second.Met || len(second.Evicted) > 0 {
		t.Errorf("the second replica: %+v, %v", second, err)
	}
	f.wantVersion(versions[0])
	f.wantVersion(versions[3])
}

// One measurement an hour is enough for all replicas.
func TestReplicasShareTheMeasurement(t *testing.T) {
	t.Parallel()
	f, both := replicas(t)
	crowded(f)
	f.must(both[0].keeper.Measure(t.Context()))
	if !both[1].keeper.shareUsage(t.Context()) || both[1].usage.Used() != both[0].usage.Used() {
		t.Errorf("the other one knows of %d bytes, of %d", both[1].usage.Used(), both[0].usage.Used())
	}
	both[1].put("more")
	f.must(both[1].keeper.saveUsage(t.Context())) // it knows of its own writes alone
	if !both[0].keeper.shareUsage(t.Context()) {
		t.Error("the measurement is lost")
	}
	f.clock.advance(measureEvery)
	if both[1].keeper.shareUsage(t.Context()) {
		t.Error("an old measurement counts")
	}
}

// revoked are leases that end in the middle of the work.
type revoked struct {
	*lease.Local
	mu   sync.Mutex
	gone bool
}

func (r *revoked) Renew(ctx context.Context, g lease.Grant, ttl time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return lease.ErrLost
	}
	return r.Local.Renew(ctx, g, ttl)
}

// A replica whose lease was lost writes nothing into the records that its successor writes.
func TestLostLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	backend := &revoked{Local: lease.NewLocal()}
	f := newFixture(t, nil, func(o *Options) { o.Leases = lease.New(backend, nil) })
	series(f)
	f.clock.advance(24 * time.Hour)
	_, err := f.keeper.GC(t.Context(), GCOptions{Progress: func(string, int64, int64) {
		backend.mu.Lock()
		defer backend.mu.Unlock()
		backend.gone = true
	}})
	if !errors.Is(err, lease.ErrLost) {
		t.Errorf("gc without its lease: %v", err)
	}
	if got := f.keys("upkeep"); len(got) != 0 {
		t.Errorf("it wrote %q", got)
	}
}
