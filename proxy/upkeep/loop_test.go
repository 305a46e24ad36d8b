package upkeep

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/lease"
)

// run has the keeper of a fixture do what a schedule says, which the test may change.
func (f *fixture) run(first Schedule) (change func(Schedule), stop func()) {
	var now atomic.Pointer[Schedule]
	now.Store(&first)
	ctx, cancel := context.WithCancel(f.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.keeper.Run(ctx, func() Schedule { return *now.Load() }) })
	return func(s Schedule) { now.Store(&s) }, func() { cancel(); wg.Wait() }
}

// A schedule that changes counts within a minute, for what becomes more often and for what no longer runs by itself.
func TestRunFollowsItsSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		series(f)
		change, stop := f.run(Schedule{GC: 30 * 24 * time.Hour})
		defer stop()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		first := f.keeper.lastGC(t.Context())
		if first.IsZero() || f.clock.now().Sub(first) < 23*time.Hour || !f.keeper.lastScrub(t.Context()).IsZero() {
			t.Fatalf("after a day: gc at %v, scrub at %v", first, f.keeper.lastScrub(t.Context()))
		}
		change(Schedule{GC: time.Hour, Scrub: 12 * time.Hour})
		time.Sleep(tick + time.Second)
		synctest.Wait()
		if gc, scrub := f.keeper.lastGC(t.Context()), f.keeper.lastScrub(t.Context()); f.clock.now().Sub(gc) > 2*tick ||
			f.clock.now().Sub(scrub) > 2*tick {
			t.Errorf("a minute after the change: gc at %v, scrub at %v, now %v", gc, scrub, f.clock.now())
		}
		change(Schedule{})
		off := f.clock.now()
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if gc, scrub := f.keeper.lastGC(t.Context()), f.keeper.lastScrub(t.Context()); gc.After(off) || scrub.After(off) {
			t.Errorf("turned off at %v: gc at %v, scrub at %v", off, gc, scrub)
		}
	})
}

// A policy that changes holds for the next gc.
func TestRunFollowsThePolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Pointer[Policy]
		set := func(r Retention) {
			p := policy(r)()
			p.KeepPulled = 0
			now.Store(&p)
		}
		set(Retention{Versions: 10})
		f := newFixture(t, nil, func(o *Options) { o.Policy = func() Policy { return *now.Load() } })
		series(f)
		_, stop := f.run(Schedule{GC: time.Hour})
		defer stop()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		before := len(f.keys(catalog.KindManifest))
		f.want(true, "a")
		set(Retention{Versions: 2})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if after := len(f.keys(catalog.KindManifest)); after >= before {
			t.Errorf("%d manifests, %d before", after, before)
		}
		f.want(false, "a")
	})
}

// A scrub that is under way takes over the rate.
func TestScrubTakesOverItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		for _, name := range []string{"a", "b", "c"} {
			f.put(content(name, 100))
		}
		change, stop := f.run(Schedule{Scrub: 30 * 24 * time.Hour, ScrubOptions: ScrubOptions{Rate: kib}})
		defer stop()
		finished := func() bool { return !f.keeper.lastScrub(t.Context()).IsZero() }
		time.Sleep(afterStart + 2*tick)
		synctest.Wait()
		if finished() {
			t.Fatal("300 KiB were read in two minutes, at 1 KiB a second")
		}
		change(Schedule{Scrub: 30 * 24 * time.Hour, ScrubOptions: ScrubOptions{Rate: 1024 * kib}})
		time.Sleep(tick)
		synctest.Wait()
		if !finished() {
			t.Error("the rest takes longer than a minute, at 1 MiB a second")
		}
	})
}

// A quota that becomes smaller is met without a restart, and one that is lifted bounds nothing.
func TestRunFollowsTheQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, keepAllVersions)
		crowded(f)
		_, stop := f.run(Schedule{})
		defer stop()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		used := f.usage.Used()
		if f.usage.SetQuota(used - 40*kib); f.usage.Room() != -40*kib {
			t.Errorf("there is room for %d bytes", f.usage.Room())
		}
		synctest.Wait()
		if now := f.usage.Used(); now > f.usage.Quota() {
			t.Errorf("%d bytes are used of %d, %d before", now, f.usage.Quota(), used)
		}
		if f.usage.SetQuota(0); f.usage.excess(highPercent) != 0 || f.usage.Room() < 1<<60 {
			t.Error("without a quota there is no room")
		}
	})
}

// away is a place for leases that does not answer.
type away struct{ lease.Backend }

func (away) Take(context.Context, string, string, time.Duration) (lease.Grant, error) {
	return lease.Grant{}, fmt.Errorf("%w: nobody answers", lease.ErrUnavailable)
}

// While leases can't be had, of which their connection tells, upkeep waits and says nothing more of it.
func TestRunWithoutLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := newFixture(t, nil, func(o *Options) {
			o.Leases = lease.New(away{lease.NewLocal()}, nil)
			o.Alone = func() bool { return false }
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		_, stop := f.run(Schedule{GC: time.Hour, Scrub: time.Hour})
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		gc, scrub := f.keeper.lastGC(t.Context()), f.keeper.lastScrub(t.Context())
		stop()
		if log.Len() > 0 || !gc.IsZero() || !scrub.IsZero() {
			t.Errorf("gc at %v, scrub at %v:\n%s", gc, scrub, log.String())
		}
	})
}
