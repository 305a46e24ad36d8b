package rollout_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/rollout"
)

// demanding is a rule that requires hosts to come back.
func demanding(t testing.TB) config.Rollout {
	t.Helper()
	rule := config.Rollout{Steps: steps(t, "5% at 0h", "50% at 24h", "100% at 48h")}
	if err := rule.Require.UnmarshalText([]byte("95% of the step seen again within 2h")); err != nil {
		t.Fatal(err)
	}
	return rule
}

// told answers what is asked of hosts.
func told(s rollout.Seen) rollout.Look {
	return func(*catalog.RolledVersion, time.Time, time.Duration) (rollout.Seen, bool) { return s, true }
}

// seen are hosts that were watched.
func seen(hosts, back, overdue int) rollout.Look {
	return told(rollout.Seen{Hosts: hosts, Back: back, Overdue: overdue, Watched: true})
}

// A step waits until enough hosts of the one before came back, and too few of them hold the roll-out.
func TestRequire(t *testing.T) {
	t.Parallel()
	const late = " hosts that got it were not seen again within 2h0m0s; required are 95%"
	nobody := func(*catalog.RolledVersion, time.Time, time.Duration) (rollout.Seen, bool) {
		return rollout.Seen{}, false
	}
	for name, tt := range map[string]struct {
		look  rollout.Look
		at    time.Duration
		share float64
		held  string
	}{
		"before its time": {seen(20, 20, 0), 23 * time.Hour, 0.05, ""},
		"all are back":    {seen(20, 20, 0), 24 * time.Hour, 0.5, ""},
		"one of twenty may be lacking": {seen(20, 19, 1),
			24 * time.Hour, 0.5, ""},
		"nobody knows":          {nobody, 1000 * time.Hour, 0.05, ""},
		"nobody can know":       {nil, 1000 * time.Hour, 0.05, ""},
		"no host took the step": {told(rollout.Seen{Watched: true}), 24 * time.Hour, 0.5, ""},
		"all still have time":   {seen(20, 0, 0), 24 * time.Hour, 0.05, ""},
		"those that have had it are bad": {seen(100, 6, 4),
			24 * time.Hour, 0.05, ""},
		"overdue, but nobody watched": {told(rollout.Seen{Hosts: 20, Overdue: 20}), 24 * time.Hour, 0.05, ""},
		"no step is left out": {seen(20, 20, 0), 1000 * time.Hour, 0.5,
			""},
		"too few, before the next step": {seen(20, 18, 2), 3 * time.Hour, 0.05, "2 of 20" + late},
		"none":                          {seen(1, 0, 1), 30 * time.Hour, 0.05, "1 of 1 host that got it was not seen again within 2h0m0s; required are 95%"},
	} {
		rule, r := demanding(t), rollout.New(version(0), epoch)
		rollout.Add(r, version(1), epoch)
		rollout.Advance(r, rule, epoch, nil)
		changed := rollout.Advance(r, rule, epoch.Add(tt.at), tt.look)
		held := ""
		if r.Held != nil {
			said := rollout.Explain(r, 0, rule, epoch)
			if held = r.Held.Reason; r.Held.By != rollout.Automatic || !strings.HasPrefix(said, "held automatically; ") {
				t.Errorf("%s: %+v", name, r.Held)
			}
			if e := r.Log[len(r.Log)-1]; e.By != rollout.Automatic || e.Action != rollout.ActionHold || e.Note != held {
				t.Errorf("%s: the log says %+v", name, e)
			}
		}
		if v := r.Versions[1]; v.Share != tt.share || held != tt.held || changed != (tt.share > 0.05 || tt.held != "") {
			t.Errorf("%s: %g of hosts, held %q, changed %t", name, v.Share, held, changed)
		}
	}
}

// The first step after a long time in which nobody asked is the first one, and later ones take as long as hosts are given.
func TestRequireOneByOne(t *testing.T) {
	t.Parallel()
	rule, r := demanding(t), rollout.New(version(0), epoch)
	rollout.Add(r, version(1), epoch)
	good := seen(20, 20, 0)
	for _, tt := range []struct {
		at    time.Duration
		share float64
		next  time.Duration // 0: it waits, or none comes
	}{
		{100 * time.Hour, 0.05, 102 * time.Hour}, {101 * time.Hour, 0.05, 102 * time.Hour},
		{102 * time.Hour, 0.5, 104 * time.Hour}, {103 * time.Hour, 0.5, 104 * time.Hour}, {104 * time.Hour, 1, 0},
	} {
		now := epoch.Add(tt.at)
		rollout.Advance(r, rule, now, good)
		last := len(r.Versions) - 1
		due, _ := rollout.Next(r, last, rule, now)
		if share := r.Versions[last].Share; share != tt.share || tt.next == 0 && !due.IsZero() ||
			tt.next > 0 && !due.Equal(epoch.Add(tt.next)) {
			t.Errorf("after %s: %g, next %s", tt.at, share, due)
		}
	}
}

// Nothing but an operator ends an automatic hold: not hosts that come back, not time, and no newer version. Once one did,
// hosts that were lacking before don't hold it again, and later ones do.
func TestAutomaticHoldStays(t *testing.T) {
	t.Parallel()
	rule, r := demanding(t), rollout.New(version(0), epoch)
	rollout.Add(r, version(1), epoch)
	rollout.Advance(r, rule, epoch, nil)
	bad, good := rollout.Seen{Hosts: 9, Overdue: 9, Watched: true}, rollout.Seen{Hosts: 9, Back: 9, Watched: true}
	rollout.Advance(r, rule, epoch.Add(3*time.Hour), told(bad))
	rnd := rand.New(rand.NewPCG(1, 2))
	now := epoch.Add(3 * time.Hour)
	for i := range 200 {
		now = now.Add(time.Duration(rnd.Int64N(int64(9*time.Hour))) - 3*time.Hour)
		if rnd.IntN(20) == 0 {
			rollout.Add(r, version(2+i), now)
		}
		rollout.Advance(r, rule, now, told([]rollout.Seen{bad, good, {}}[rnd.IntN(3)]))
		if r.Held == nil || r.Held.By != rollout.Automatic || r.Versions[1].Share != 0.05 {
			t.Fatalf("%+v", r)
		}
	}
	if err := rollout.Release(r, "alice", false, now); err != nil {
		t.Fatal(err)
	}
	asked := func(v *catalog.RolledVersion, since time.Time, _ time.Duration) (rollout.Seen, bool) {
		if since.Before(now) { // all that got it before
			return bad, true
		}
		return rollout.Seen{Watched: true}, true
	}
	if rollout.Advance(r, rule, now.Add(time.Hour), asked); r.Held != nil {
		t.Errorf("what an operator released is held for the same hosts: %+v", r.Held)
	}
	if rollout.Advance(r, rule, now.Add(9*time.Hour), told(bad)); r.Held == nil {
		t.Error("other hosts don't hold it")
	}
}

// An alert holds a tag once, until an operator who knows of it says otherwise.
func TestHoldFor(t *testing.T) {
	t.Parallel()
	r := rollout.New(version(0), epoch)
	rollout.Add(r, version(1), epoch)
	alert := epoch.Add(time.Hour)
	if err := rollout.HoldFor(r, "alert HostsDown", alert, alert); err != nil || r.Held.By != rollout.Automatic {
		t.Fatal(err, r.Held)
	}
	if err := rollout.HoldFor(r, "alert HostsDown", alert, alert); err != rollout.ErrHeld {
		t.Error(err)
	}
	if err := rollout.Release(r, "alice", false, alert.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := rollout.HoldFor(r, "alert HostsDown", alert, alert.Add(4*time.Hour)); err != rollout.ErrKnown ||
		r.Held != nil {
		t.Errorf("%v, %+v", err, r.Held)
	}
	if err := rollout.HoldFor(r, "alert Other", alert.Add(2*time.Hour), alert.Add(4*time.Hour)); err != nil {
		t.Error(err)
	}
}
