package rollout_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/rollout"
)

const repo = "ghcr.io/team/os"

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// version is the n-th that a tag stood for.
func version(n int) catalog.RolledVersion {
	d := digest.FromString(fmt.Sprint("served ", n))
	return catalog.RolledVersion{SourceDigest: digest.FromString(fmt.Sprint("source ", n)), Digest: d, MediaType: "x",
		Served: catalog.Rechunked}
}

func steps(t testing.TB, of ...string) []config.Step {
	t.Helper()
	out := make([]config.Step, len(of))
	for i, s := range of {
		if err := out[i].UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func user(i int) rollout.Host { return rollout.Host{User: fmt.Sprint("host", i)} }

// reached are the hosts that versions reached.
type reached map[string]bool

// pick returns the version that a host gets.
func (of reached) pick(r *catalog.Rollout, h rollout.Host) int {
	i, err := rollout.Pick(repo, r, h, func(i int, now bool) (bool, error) {
		key := fmt.Sprint(r.Versions[i].SourceDigest, h.ID(repo))
		of[key] = of[key] || now
		return of[key], nil
	})
	if err != nil {
		panic(err)
	}
	return i
}

// got counts the hosts that get the newest version.
func (of reached) got(r *catalog.Rollout, hosts int, host func(int) rollout.Host) (n int) {
	for i := range hosts {
		if of.pick(r, host(i)) == len(r.Versions)-1 {
			n++
		}
	}
	return n
}

// Of ten thousand hosts as many get a version as its steps say, give or take two in a hundred, told by name or by address.
func TestShares(t *testing.T) {
	t.Parallel()
	address := func(i int) rollout.Host {
		return rollout.Host{Address: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}
	}
	network := func(i int) rollout.Host {
		return rollout.Host{Address: netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:1::7", i))}
	}
	for name, of := range map[string]func(int) rollout.Host{"users": user, "addresses": address, "networks": network} {
		for _, share := range []float64{0.01, 0.05, 0.1, 0.5, 0.9, 1} {
			for v := 1; v < 3; v++ {
				r, hosts := rollout.New(version(0), epoch), reached{}
				rollout.Add(r, version(v), epoch)
				rule := config.Rollout{Steps: []config.Step{{Share: config.Percent(share)}}}
				rollout.Advance(r, rule, epoch, nil)
				const all = 10_000
				if n := hosts.got(r, all, of); math.Abs(float64(n)/all-share) > 0.02 {
					t.Errorf("%s: %d of %d get version %d, want %g", name, n, all, v, share)
				}
			}
		}
	}
}

// One by one as the rule says: nobody while it is held, then the first and a few, then all.
func TestSteps(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Hold: config.Duration(12 * time.Hour), Steps: steps(t, "5% at 1h", "50% at 24h", "100% at 48h"),
		First: []string{"10.1.0.0/16", "canary", "2001:db8:1::5", "192.0.2.7"}}
	r, hosts := rollout.New(version(0), epoch), reached{}
	if rollout.Explain(r, 0, rule, epoch) != "" {
		t.Error("something is said where nothing goes on")
	}
	rollout.Add(r, version(1), epoch)
	first := []rollout.Host{{User: "canary"}, {Address: netip.MustParseAddr("10.1.2.3")},
		{User: "x", Address: netip.MustParseAddr("10.1.2.3")}, {Address: netip.MustParseAddr("2001:db8:1::5")},
		{Address: netip.MustParseAddr("192.0.2.7")}}
	for _, tt := range []struct {
		at      time.Duration
		share   float64
		first   bool
		explain string // of a host that does not get it
	}{
		{0, 0, false, "held until 2026-01-01T13:00:00Z, then 5% of hosts; stable since 2026-01-01T00:00:00Z"},
		{13*time.Hour - 1, 0, false, "held until 2026-01-01T13:00:00Z, then 5% of hosts; stable since 2026-01-01T00:00:00Z"},
		{13 * time.Hour, 0.05, true,
			"waiting; 5% of hosts have the next, 50% from 2026-01-02T12:00:00Z; stable since 2026-01-01T00:00:00Z"},
		{36 * time.Hour, 0.5, true,
			"waiting; 50% of hosts have the next, 100% from 2026-01-03T12:00:00Z; stable since 2026-01-01T00:00:00Z"},
		// a slow clock
		{30 * time.Hour, 0.5, true,
			"waiting; 50% of hosts have the next, 100% from 2026-01-03T12:00:00Z; stable since 2026-01-01T00:00:00Z"},
		{60 * time.Hour, 1, true, "waiting; 100% of hosts have the next; stable since 2026-01-01T00:00:00Z"},
	} {
		rollout.Advance(r, rule, epoch.Add(tt.at), nil)
		if n := float64(hosts.got(r, 1000, user)) / 1000; math.Abs(n-tt.share) > 0.03 {
			t.Errorf("after %s %g get it", tt.at, n)
		}
		for _, h := range first {
			if got := hosts.pick(r, h) == 1; got != tt.first {
				t.Errorf("after %s %+v: %t", tt.at, h, got)
			}
		}
		if got := rollout.Explain(r, 0, rule, epoch.Add(tt.at)); tt.share < 1 && got != tt.explain {
			t.Errorf("after %s: %s", tt.at, got)
		}
	}
	if !rollout.Settled(r) || rollout.Explain(r, 1, rule, epoch) != "" {
		t.Error("it is not over")
	}
}

// By hand: hold, release, rollback.
func TestByHand(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Hold: config.Duration(time.Hour), Steps: steps(t, "50% at 0h", "100% at 10h")}
	now, hosts := epoch, reached{}
	r := rollout.New(version(0), now)
	if _, err := rollout.Rollback(r, "alice", "", now); err != rollout.ErrNoEarlier {
		t.Errorf("back to nothing: %v", err)
	}
	rollout.Add(r, version(1), now)
	if err := rollout.Release(r, "alice", false, now); err != nil { // the rule's hold does not count any longer
		t.Fatal(err)
	}
	rollout.Advance(r, rule, now, nil)
	half := hosts.got(r, 1000, user)
	if half < 450 || half > 550 {
		t.Errorf("%d get it", half)
	}
	now = now.Add(time.Hour)
	if err := rollout.Hold(r, "bob", "it does not boot", now); err != nil {
		t.Fatal(err)
	}
	if err := rollout.Hold(r, "bob", "", now); err != rollout.ErrHeld {
		t.Errorf("held twice: %v", err)
	}
	now = now.Add(1000 * time.Hour)
	rollout.Add(r, version(2), now)
	rollout.Advance(r, rule, now.Add(1000*time.Hour), nil)
	if n := hosts.got(r, 1000, user); n != 0 || len(r.Versions) != 3 {
		t.Errorf("%d get what came while it was held", n)
	}
	if s := rollout.Explain(r, 0, rule, now); s != "held; stable since 2026-01-01T00:00:00Z" {
		t.Error(s)
	}
	if err := rollout.Release(r, "alice", false, now); err != nil {
		t.Fatal(err)
	}
	rollout.Advance(r, rule, now, nil) // the time of the hold does not count
	if r.Versions[1].Share != 0.5 || !r.Versions[2].BegunAt.IsZero() {
		t.Errorf("%+v", r.Versions)
	}
	if to, err := rollout.Rollback(r, "bob", "", now); err != nil || to.Digest != version(0).Digest {
		t.Fatal(to, err)
	}
	rollout.Advance(r, rule, now.Add(1000*time.Hour), nil)
	for i := range 1000 {
		if hosts.pick(r, user(i)) != 0 {
			t.Fatal("a host gets what was withdrawn")
		}
	}
	if s := rollout.Explain(r, 0, rule, now); s != "withdrawn; stable since 2026-01-01T00:00:00Z" {
		t.Error(s)
	}
	// What was withdrawn comes back under the tag only by an operator's word.
	rollout.Add(r, version(3), now)
	rollout.Add(r, version(2), now) // and what came in between is taken back
	rollout.Advance(r, rule, now.Add(1000*time.Hour), nil)
	if i := hosts.pick(r, user(1)); r.Versions[i].Digest != version(0).Digest {
		t.Errorf("version %s", r.Versions[i].Digest)
	}
	if err := rollout.Release(r, "alice", true, now); err != nil {
		t.Fatal(err)
	}
	if n := hosts.got(r, 1000, user); n != 1000 || !rollout.Settled(r) {
		t.Errorf("%d of 1000 get what was released to all", n)
	}
	if err := rollout.Release(r, "alice", true, now); err != rollout.ErrSettled {
		t.Errorf("released again: %v", err)
	}
	if e := r.Log[1]; e.By != rollout.Schedule || e.Action != rollout.ActionBegin {
		t.Errorf("%+v", r.Log)
	}
	if e := r.Log[2]; e.By != "bob" || e.Action != rollout.ActionHold || e.Note != "it does not boot" {
		t.Errorf("%+v", r.Log)
	}
}

// What came is bounded: versions that no host has go for newer ones, and where all are on their way, the next waits.
func TestBounds(t *testing.T) {
	t.Parallel()
	slow := config.Rollout{Steps: []config.Step{{Share: 0.01}}}
	pending, begun := rollout.New(version(0), epoch), rollout.New(version(0), epoch)
	for i := 1; i < 100; i++ {
		if _, full := rollout.Add(pending, version(i), epoch); full {
			t.Fatal("a version that nobody has takes the room of another")
		}
		_, full := rollout.Add(begun, version(i), epoch)
		if rollout.Advance(begun, slow, epoch, nil); full != (i >= catalog.MaxRolled) {
			t.Fatalf("version %d: %t", i, full)
		}
	}
	if n := len(pending.Versions); n != catalog.MaxRolled || pending.Versions[n-1].Digest != version(99).Digest {
		t.Errorf("%d versions", n)
	}
	for range 200 {
		_ = rollout.Hold(begun, "alice", "", epoch)
		_ = rollout.Release(begun, "alice", false, epoch)
	}
	b, err := json.Marshal(begun)
	if err != nil || len(b) > 64<<10 || len(begun.Log) != catalog.MaxRolloutLog {
		t.Errorf("%d bytes, %d in the log, %v", len(b), len(begun.Log), err)
	}
}

// What the tag goes back from reaches no more hosts: what nobody had is gone, and what some have stays with them until the
// version that is there again reaches them. When the tag changes its mind once more, it goes on.
func TestRevert(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Steps: steps(t, "10% at 0h", "50% at 2h", "100% at 4h")}
	waiting := config.Rollout{Hold: config.Duration(time.Hour), Steps: rule.Steps}
	r := rollout.New(version(0), epoch)
	add := func(n int, at time.Duration) {
		t.Helper()
		if _, full := rollout.Add(r, version(n), epoch.Add(at)); full {
			t.Fatal("no room")
		}
	}
	add(1, time.Minute)
	rollout.Advance(r, waiting, epoch.Add(2*time.Minute), nil)
	add(0, 3*time.Minute)
	if rollout.Advance(r, waiting, epoch.Add(9*time.Hour), nil) || len(r.Versions) != 1 {
		t.Fatalf("what came and went during the hold reaches hosts: %+v", r.Versions)
	}
	add(1, 10*time.Hour)
	rollout.Advance(r, rule, epoch.Add(10*time.Hour), nil)
	add(0, 11*time.Hour)
	rollout.Advance(r, rule, epoch.Add(11*time.Hour), nil)
	rollout.Advance(r, rule, epoch.Add(13*time.Hour), nil)
	if b := r.Versions[1]; len(r.Versions) != 3 || b.Share != 0.1 || b.RevertedAt.IsZero() || r.Versions[2].Share != 0.5 {
		t.Fatalf("%+v", r.Versions)
	}
	r = rollout.New(version(0), epoch)
	add(1, 0)
	rollout.Advance(r, rule, epoch, nil)
	add(0, time.Hour) // and on, before anybody gets it
	add(1, 3*time.Hour)
	rollout.Advance(r, rule, epoch.Add(3*time.Hour), nil)
	if b := r.Versions[1]; len(r.Versions) != 2 || b.Share != 0.1 || !b.RevertedAt.IsZero() {
		t.Fatalf("%+v", r.Versions)
	}
	if rollout.Advance(r, rule, epoch.Add(4*time.Hour), nil); r.Versions[1].Share != 0.5 {
		t.Errorf("%+v", r.Versions[1])
	}
}

// What an operator withdrew stays withdrawn, whatever reached all hosts since.
func TestWithdrawnIsRemembered(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Steps: steps(t, "50% at 0h", "100% at 1h")}
	r, now, hosts := rollout.New(version(1), epoch), epoch, reached{}
	goTo := func(n int) {
		t.Helper()
		if _, full := rollout.Add(r, version(n), now); full {
			t.Fatal("no room")
		}
		for range 3 {
			rollout.Advance(r, rule, now, nil)
			now = now.Add(time.Hour)
		}
	}
	goTo(2)
	if _, err := rollout.Rollback(r, "alice", "", now); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3, 4, 2} {
		goTo(n)
	}
	for i := range 100 {
		if v := r.Versions[hosts.pick(r, user(i))]; v.Digest != version(4).Digest {
			t.Fatalf("%s gets %s, which is not what came last but for what was withdrawn", user(i).Who(), v.Digest)
		}
	}
	if err := rollout.Release(r, "alice", true, now); err != nil || hosts.got(r, 100, user) != 100 {
		t.Errorf("%d get what was released; %v", hosts.got(r, 100, user), err)
	}
}

// A tag that goes to and fro takes no room for each time, and what it stands for is the newest.
func TestToAndFro(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Steps: steps(t, "30% at 0h", "100% at 9h")}
	r, now, hosts := rollout.New(version(1), epoch), epoch, reached{}
	for i := range 60 {
		if _, full := rollout.Add(r, version(i%2+1), now); full {
			t.Fatalf("no room after %d", i)
		}
		rollout.Advance(r, rule, now, nil)
		now = now.Add(time.Minute)
		if last := r.Versions[len(r.Versions)-1]; last.Digest != version(i%2+1).Digest || !last.RevertedAt.IsZero() {
			t.Fatalf("the newest is %+v", last)
		}
	}
	if len(r.Versions) > 3 {
		t.Errorf("%d versions of two sources", len(r.Versions))
	}
	rollout.Add(r, version(3), now)
	rollout.Advance(r, rule, now, nil)
	if n := hosts.got(r, 1000, user); n < 250 || n > 350 {
		t.Errorf("%d of 1000 get what comes then", n)
	}
}

// What is held, or taken back by who publishes it, stays with the hosts that got it by the tag, and reaches none that only
// could have.
func TestFrozen(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Steps: steps(t, "50% at 0h", "100% at 10h"), First: []string{"canary"}}
	canary := rollout.Host{User: "canary"}
	for name, freeze := range map[string]func(r *catalog.Rollout){
		"held":     func(r *catalog.Rollout) { _ = rollout.Hold(r, "alice", "", epoch) },
		"reverted": func(r *catalog.Rollout) { rollout.Add(r, version(0), epoch) },
	} {
		r, hosts := rollout.New(version(0), epoch), reached{}
		rollout.Add(r, version(1), epoch)
		rollout.Advance(r, rule, epoch, nil)
		asked := hosts.got(r, 100, user)
		freeze(r)
		never := config.Rollout{Hold: config.Duration(1000 * time.Hour)}
		rollout.Advance(r, never, epoch.Add(5*time.Hour), nil)
		n := 0
		for i := range 1000 {
			if r.Versions[hosts.pick(r, user(i))].Digest == version(1).Digest {
				n++
			}
		}
		if n != asked || n < 30 {
			t.Errorf("%s: %d of 1000 have it, %d had it before", name, n, asked)
		}
		if i := hosts.pick(r, canary); i != 0 {
			t.Errorf("%s: a host that is first and had not asked gets version %d", name, i)
		}
	}
	// What an older build began is told by share: nobody noted who has it.
	r, hosts := rollout.New(version(0), epoch), reached{}
	rollout.Add(r, version(1), epoch)
	rollout.Advance(r, rule, epoch, nil)
	r.Versions[1].Counted = false
	if _ = rollout.Hold(r, "alice", "", epoch); hosts.got(r, 1000, user) < 400 {
		t.Error("hosts of a share that was not counted go back")
	}
}

// A version that nobody has yet is rolled back as others are.
func TestRollbackBeforeItBegan(t *testing.T) {
	t.Parallel()
	waiting := config.Rollout{Hold: config.Duration(time.Hour)}
	for before := range 2 {
		r := rollout.New(version(0), epoch)
		for n := 1; n <= before; n++ {
			rollout.Add(r, version(n), epoch)
			rollout.Advance(r, config.Rollout{}, epoch, nil)
		}
		rollout.Add(r, version(9), epoch)
		rollout.Advance(r, waiting, epoch, nil)
		to, err := rollout.Rollback(r, "alice", "", epoch)
		if err != nil || to.Digest != version(before).Digest {
			t.Fatalf("%d: %+v, %v", before, to, err)
		}
		rollout.Advance(r, waiting, epoch.Add(time.Hour), nil)
		if last := r.Versions[len(r.Versions)-1]; last.Withdrawn == nil || rollout.StateOf(r) != rollout.Withdrawn {
			t.Errorf("%d: %+v", before, last)
		}
		if i := (reached{}).pick(r, user(1)); r.Versions[i].Digest != version(before).Digest {
			t.Errorf("%d: a host gets %s", before, r.Versions[i].Digest)
		}
	}
}

// While the tag goes back to what all hosts had, it is said so, and a rollback then withdraws what came in between alone.
func TestReverting(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Steps: steps(t, "50% at 0h", "100% at 10h")}
	waiting := config.Rollout{Hold: config.Duration(time.Hour)}
	r, hosts := rollout.New(version(0), epoch), reached{}
	rollout.Add(r, version(1), epoch)
	rollout.Advance(r, rule, epoch, nil)
	if hosts.got(r, 100, user) == 0 {
		t.Fatal("nobody gets it")
	}
	rollout.Add(r, version(0), epoch)
	rollout.Advance(r, waiting, epoch, nil)
	if s := rollout.StateOf(r); s != rollout.Reverting {
		t.Errorf("state %s", s)
	}
	for i, want := range []string{"reverted; stable since 2026-01-01T00:00:00Z",
		"held until 2026-01-01T01:00:00Z, then 100% of hosts; stable since 2026-01-01T00:00:00Z", "new; 0% of hosts"} {
		if got := rollout.Explain(r, i, waiting, epoch); got != want {
			t.Errorf("version %d: %s", i, got)
		}
	}
	if to, err := rollout.Rollback(r, "alice", "", epoch); err != nil || to.Digest != version(0).Digest {
		t.Fatal(to, err)
	}
	if len(r.Versions) != 2 || r.Versions[1].Withdrawn == nil || r.Versions[0].Withdrawn != nil {
		t.Fatalf("%+v", r.Versions)
	}
	// All have it, so that nothing goes out when the tag is there again.
	rollout.Add(r, version(0), epoch)
	if s := rollout.StateOf(r); s != rollout.Complete || hosts.got(r, 100, user) != 100 {
		t.Errorf("state %s, %+v", s, r.Versions)
	}
}

// Once the tag is back where it was, there is no other version to go back to.
func TestNothingBefore(t *testing.T) {
	t.Parallel()
	r := rollout.New(version(0), epoch)
	for _, n := range []int{1, 0} {
		rollout.Add(r, version(n), epoch)
		rollout.Advance(r, config.Rollout{Steps: steps(t, "50% at 0h")}, epoch, nil)
	}
	rollout.Advance(r, config.Rollout{}, epoch, nil)
	if to, err := rollout.Rollback(r, "alice", "", epoch); err != rollout.ErrNoEarlier {
		t.Errorf("%+v, %v", to, err)
	}
}

// A record that was lost is made again of what is known: hosts that had the newest version keep it, nobody else gets it.
func TestRecover(t *testing.T) {
	t.Parallel()
	hosts := reached{}
	hosts[fmt.Sprint(version(1).SourceDigest, user(7).ID(repo))] = true
	r := rollout.Recover(version(0), version(1), epoch)
	rollout.Advance(r, config.Rollout{}, epoch.Add(time.Hour), nil)
	for i := range 100 {
		if got := hosts.pick(r, user(i)); got != 0 != (i == 7) {
			t.Errorf("host %d gets version %d", i, got)
		}
	}
	if r.Held == nil || r.Held.By != rollout.Schedule || rollout.StateOf(r) != rollout.Held {
		t.Errorf("%+v", r)
	}
	if r := rollout.Recover(version(1), version(1), epoch); !rollout.Settled(r) || r.Held != nil {
		t.Errorf("%+v", r)
	}
}

// Texts that come from outside stay lines.
func TestTexts(t *testing.T) {
	t.Parallel()
	r := rollout.New(version(0), epoch)
	if err := rollout.Hold(r, "al\x1b[2Jice", "a\nb\u202ec"+strings.Repeat("é", 1000), epoch); err != nil {
		t.Fatal(err)
	}
	e := r.Log[0]
	if len(r.Held.Reason) > catalog.MaxRolloutText || !utf8.ValidString(e.Note) {
		t.Errorf("%q", e.Note)
	}
	if !strings.HasPrefix(e.Note, `a\nb\u202ec`) || e.By != `al\u001b[2Jice` || r.Held.By != e.By {
		t.Errorf("%q, %q", e.By, e.Note)
	}
}

// A rollback takes the place of a hold, whoever held it: one release then has the version go on.
func TestRollbackOfWhatIsHeld(t *testing.T) {
	t.Parallel()
	rule := config.Rollout{Steps: steps(t, "50% at 0h", "100% at 10h")}
	for by, hold := range map[string]func(r *catalog.Rollout, now time.Time) error{
		"alice": func(r *catalog.Rollout, now time.Time) error { return rollout.Hold(r, "alice", "first", now) },
		rollout.Automatic: func(r *catalog.Rollout, now time.Time) error {
			return rollout.HoldFor(r, "first", now, now)
		},
	} {
		r := rollout.New(version(0), epoch)
		rollout.Add(r, version(1), epoch)
		rollout.Advance(r, rule, epoch, nil)
		if err := hold(r, epoch); err != nil {
			t.Fatal(err)
		}
		now := epoch.Add(time.Hour)
		if _, err := rollout.Rollback(r, "bob", "second", now); err != nil {
			t.Fatal(err)
		}
		stop := r.Versions[1].Withdrawn
		if rollout.StateOf(r) != rollout.Withdrawn || r.Held != nil || stop == nil || stop.By != "bob" ||
			stop.Reason != "second" || !stop.At.Equal(now) {
			t.Errorf("held by %s: %s, %+v, %+v", by, rollout.StateOf(r), r.Held, stop)
		}
		if err := rollout.Release(r, "carol", false, now); err != nil {
			t.Fatal(err)
		}
		if rollout.Advance(r, rule, now, nil); rollout.StateOf(r) != rollout.Stepping {
			t.Errorf("held by %s: %s after one release", by, rollout.StateOf(r))
		}
	}
	r := rollout.New(version(0), epoch)
	_ = rollout.Hold(r, "alice", "", epoch)
	if _, err := rollout.Rollback(r, "bob", "", epoch); err != rollout.ErrNoEarlier || r.Held == nil {
		t.Errorf("a rollback that is none ends a hold: %v", err)
	}
}
