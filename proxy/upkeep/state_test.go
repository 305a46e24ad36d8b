package upkeep

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestState(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	state := func() State {
		t.Helper()
		s, err := f.keeper.State(t.Context())
		f.must(err)
		return s
	}
	if diff := cmp.Diff(State{}, state()); diff != "" {
		t.Errorf("at first (-want +got)\n%s", diff)
	}
	series(f)
	f.usage.SetQuota(1000 * kib)
	f.rot("d")
	f.gc(GCOptions{DryRun: true})
	if s := state(); !s.GCAt.IsZero() || s.UsedBytes != f.usage.Used() || s.QuotaBytes != 1000*kib || s.Damaged != 0 {
		t.Errorf("before anything ran: %+v", s)
	}
	began := f.clock.now()
	f.gc(GCOptions{})
	_, err := f.keeper.Scrub(t.Context(), ScrubOptions{})
	f.must(err)
	f.must(f.open(nil)) // another process knows, too
	s := state()
	for name, at := range map[string]time.Time{"gc": s.GCAt, "scrub's start": s.ScrubStartedAt,
		"scrub's end": s.ScrubFinishedAt} {
		if at.Before(began) || at.After(f.clock.now()) {
			t.Errorf("%s at %v, not since %v", name, at, began)
		}
	}
	if s.Damaged != 1 {
		t.Errorf("%d damaged", s.Damaged)
	}
}
