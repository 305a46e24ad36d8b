package watch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// images is a registry that notes what is asked of it.
type images struct {
	mu      sync.Mutex
	targets []watch.Target
	tags    []string
	lists   int
	asked   []string
	fail    error
	hold    chan struct{} // Refresh waits for it where it is not nil
}

func (i *images) Targets(context.Context) ([]watch.Target, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.targets), nil
}

func (i *images) Tags(context.Context, string) ([]string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lists++
	return i.tags, i.fail
}

func (i *images) Refresh(ctx context.Context, ref string) error {
	i.mu.Lock()
	i.asked = append(i.asked, ref)
	hold, err := i.hold, i.fail
	i.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	return err
}

// took returns what was asked for since the last call, sorted.
func (i *images) took() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := i.asked
	i.asked = nil
	slices.Sort(out)
	return out
}

func target(name string, tags ...string) watch.Target {
	return watch.Target{Repository: name, Interval: 15 * time.Minute, Tags: tags}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &images{targets: []watch.Target{target("r.test/a", "stable"), target("r.test/b", "latest", "4?")},
			tags: []string{"3", "40", "41", "411"}}
		w := watch.Start(watch.Options{Images: i})
		defer w.Close()
		want := []string{"r.test/a:stable", "r.test/b:40", "r.test/b:41", "r.test/b:latest"}
		for look := range 3 {
			time.Sleep(15*time.Minute + time.Second)
			got := slices.Compact(i.took()) // jitter may bring two looks into one interval, or the next one just after it
			if look == 0 && !cmp.Equal(want, got) {
				t.Errorf("look %d: %q", look, got)
			}
		}
		time.Sleep(24 * time.Hour)
		counts := map[string]int{}
		for _, ref := range i.took() {
			counts[ref]++
		}
		for _, ref := range want {
			if n := counts[ref]; n < 86 || n > 108 {
				t.Errorf("%s was looked at %d times in a day", ref, n)
			}
		}
		// A repository that is no longer to be watched, and one that is new.
		i.mu.Lock()
		i.targets = []watch.Target{target("r.test/c", "x")}
		i.mu.Unlock()
		time.Sleep(2 * time.Minute)
		i.took()
		time.Sleep(time.Hour)
		if got := slices.Compact(i.took()); !cmp.Equal([]string{"r.test/c:x"}, got) {
			t.Errorf("after the change: %q", got)
		}
	})
}

// A registry that fails is asked less and less often, and as before when it is back.
func TestBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &images{targets: []watch.Target{target("r.test/a", "*")}, fail: errors.New("down")}
		w := watch.Start(watch.Options{Images: i})
		defer w.Close()
		time.Sleep(24 * time.Hour)
		i.mu.Lock()
		if i.lists < 4 || i.lists > 12 {
			t.Errorf("a registry that is down was asked %d times in a day", i.lists)
		}
		i.fail = nil
		i.mu.Unlock()
		time.Sleep(7 * time.Hour)
		i.mu.Lock()
		before := i.lists
		i.mu.Unlock()
		time.Sleep(10 * time.Hour)
		i.mu.Lock()
		defer i.mu.Unlock()
		if n := i.lists - before; n < 35 {
			t.Errorf("%d looks in ten hours after it came back", n)
		}
	})
}

// Of two replicas one looks; when it is gone, the other does.
func TestOneReplicaWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		backend := lease.NewLocal()
		i := [2]*images{}
		var w [2]*watch.Watcher
		for n := range i {
			i[n] = &images{targets: []watch.Target{target("r.test/a", "stable")}}
			w[n] = watch.Start(watch.Options{Images: i[n], Leases: lease.New(backend, nil)})
		}
		time.Sleep(24 * time.Hour)
		a, b := len(i[0].took()), len(i[1].took())
		if a != 0 && b != 0 || a+b < 86 {
			t.Errorf("one replica looked %d times, the other %d times", a, b)
		}
		first := 0
		if b > 0 {
			first = 1
		}
		w[first].Close()
		time.Sleep(time.Hour)
		if n := len(i[1-first].took()); n < 2 {
			t.Errorf("the other looked %d times in the hour after the first had gone", n)
		}
		w[1-first].Close()
	})
}

func TestNotify(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &images{hold: make(chan struct{})}
		w := watch.Start(watch.Options{Images: i, AtOnce: 1})
		defer w.Close()
		notify := func(ref string) {
			t.Helper()
			if err := w.Notify(ref); err != nil {
				t.Error(err)
			}
		}
		for range 3 {
			notify("a")
			synctest.Wait() // the first is at work, the rest come while it is
		}
		for range 3 {
			notify("b")
		}
		close(i.hold)
		synctest.Wait()
		if got := i.took(); !cmp.Equal([]string{"a", "a", "b"}, got) && !cmp.Equal([]string{"a", "a", "b", "b"}, got) {
			t.Errorf("asked for %q", got)
		}
		notify("a")
		synctest.Wait()
		if got := i.took(); !cmp.Equal([]string{"a"}, got) {
			t.Errorf("later: %q", got)
		}
	})
}

func TestNotifyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &images{hold: make(chan struct{})}
		w := watch.Start(watch.Options{Images: i})
		defer w.Close()
		var err error
		for n := 0; n < 2000 && err == nil; n++ {
			err = w.Notify(time.Duration(n).String())
		}
		if err == nil {
			t.Error("two thousand references may wait")
		}
	})
}
