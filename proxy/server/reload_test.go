package server

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/proxy/watch"
)

// What upkeep and watching go by is the newest configuration, and after one that is refused the one before.
func TestReloadUpkeep(t *testing.T) {
	t.Parallel()
	first := config.Default()
	first.Listen, first.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	first.Storage.Parameters = map[string]any{"rootdirectory": filepath.Join(t.TempDir(), "data")}
	next, nextErr := first, error(nil)
	s, err := New(t.Context(), Options{Config: first,
		Load: func() (*config.Config, []string, error) { return next, nil, nextErr }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	set := func(cfg *config.Config, err error) error {
		next, nextErr = cfg, err
		_, err = s.Reload(t.Context())
		return err
	}
	holds := func(cfg *config.Config, r upkeep.Retention, targets ...watch.Target) {
		t.Helper()
		p := s.upkeep.Policy()
		want := []any{time.Duration(cfg.GC.KeepPulled), time.Duration(cfg.GC.Grace), r, int64(cfg.Quota), schedule(cfg).GC,
			schedule(cfg).Scrub, int64(cfg.Scrub.Rate)}
		now := s.schedule()
		got := []any{p.KeepPulled, p.Grace, p.Retention("quay.io/os"), s.usage.Quota(), now.GC, now.Scrub,
			now.ScrubOptions.Rate}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("upkeep (-want +got)\n%s", diff)
		}
		watching, err := watched{s.live.Load, s.rooms, s.names(), tracedWarmer{}}.Targets(t.Context())
		if diff := cmp.Diff(targets, watching); diff != "" || err != nil {
			t.Errorf("watching: %v (-want +got)\n%s", err, diff)
		}
	}
	rule := config.DefaultRule()
	holds(first, upkeep.Retention{Versions: rule.KeepVersions, Age: time.Duration(rule.KeepDays) * 24 * time.Hour})

	second := *first
	second.GC = config.GC{Interval: config.Duration(time.Hour), Grace: config.Duration(2 * time.Hour),
		KeepPulled: config.Duration(3 * time.Hour)}
	second.Scrub = config.Scrub{Interval: config.Duration(4 * time.Hour), Rate: 5 << 20,
		KeepDamaged: config.Duration(6 * time.Hour)}
	second.Quota = 7 << 30
	rule.Match, rule.KeepVersions, rule.KeepDays = "quay.io/os", 3, 8
	rule.Watch = config.Watch{Interval: config.Duration(9 * time.Minute), Tags: []string{"stable"}}
	second.Repositories = slices.Concat([]config.Rule{rule}, first.Repositories)
	if err := set(&second, nil); err != nil {
		t.Fatal(err)
	}
	keeps := upkeep.Retention{Versions: 3, Age: 8 * 24 * time.Hour}
	target := watch.Target{Repository: "quay.io/os", Interval: 9 * time.Minute, Tags: []string{"stable"}}
	holds(&second, keeps, target)

	third := second
	third.Quota, third.GC.Interval, third.Repositories, third.Jobs = 1<<30, 0, nil, second.Jobs+1
	if err := set(&third, nil); err == nil {
		t.Error("jobs do not change without a restart")
	}
	holds(&second, keeps, target)
	if err := set(nil, errors.New("no such key")); err == nil {
		t.Error("a broken file was taken over")
	}
	holds(&second, keeps, target)
	third.Jobs, third.Repositories = second.Jobs, first.Repositories
	if err := set(&third, nil); err != nil {
		t.Fatal(err)
	}
	holds(&third, s.upkeep.Policy().Retention("another.test/os"))
	if _, err := s.Reload(context.Background()); err != nil {
		t.Errorf("the same again: %v", err)
	}
}
