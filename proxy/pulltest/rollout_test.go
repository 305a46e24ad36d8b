package pulltest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/pull/tags"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/rollout"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

var rolledRepo = nametest.Repository("registry.test/org/os")

// world is an upstream of which a number says what the tag leads to, and all that replicas share.
type world struct {
	newest atomic.Int64
	slow   atomic.Int64 // how long it takes to make an image
	torn   atomic.Bool  // what was made is gone
	rule   atomic.Pointer[config.Rollout]
	store  *chunkstore.Store
	leases *lease.Leases
	leased bool // leases reach all replicas
	// back says what is known of the hosts that got a version.
	back atomic.Pointer[rollout.Seen]
}

// returned implements tags.Returned.
func (w *world) returned(catalog.TagKey, []digest.Digest, time.Time, time.Duration) (rollout.Seen, bool) {
	if seen := w.back.Load(); seen != nil {
		return *seen, true
	}
	return rollout.Seen{}, false
}

func sourceOf(n int64) digest.Digest { return digest.FromString(fmt.Sprint("source ", n)) }
func servedOf(d digest.Digest) digest.Digest {
	return digest.FromString("served " + d.String())
}

// number undoes servedOf(sourceOf(n)).
func (w *world) number(d digest.Digest) int64 {
	for n := w.newest.Load(); n > 0; n-- {
		if servedOf(sourceOf(n)) == d {
			return n
		}
	}
	return 0
}

// Head and Refresh implement Upstream.
func (w *world) Head(context.Context, name.Repository, name.Reference) (client.Descriptor, error) {
	return client.Descriptor{Digest: sourceOf(w.newest.Load()), MediaType: "x"}, nil
}

// Refresh is Head.
func (w *world) Refresh(ctx context.Context, r name.Repository, ref name.Reference) (client.Descriptor, error) {
	return w.Head(ctx, r, ref)
}

// Get, Stored, Proven and Whole implement Manifests.
func (w *world) Get(_ context.Context, _ name.Repository, d digest.Digest) (*registry.Manifest, error) {
	return &registry.Manifest{MediaType: "x", Digest: d, Source: d, Served: registry.Original}, nil
}

// Stored is Get.
func (w *world) Stored(ctx context.Context, r name.Repository, d digest.Digest) (*registry.Manifest, error) {
	return w.Get(ctx, r, d)
}

// Proven has every manifest, but for those that were made here once they are gone.
func (w *world) Proven(_ context.Context, _ name.Repository, d digest.Digest) ([]byte, error) {
	if w.tornFrom(d) {
		return nil, errTorn
	}
	return []byte("{}"), nil
}

// Whole has every blob.
func (w *world) Whole(context.Context, string, []byte) bool { return true }

// Make implements Maker.
func (w *world) Make(ctx context.Context, r jobs.Request) (*jobs.Made, error) {
	select {
	case <-time.After(time.Duration(w.slow.Load())):
	case <-ctx.Done():
	}
	return &jobs.Made{Digest: servedOf(r.Digest), MediaType: "x"}, nil
}

// Since implements Losses, and Enlist Repositories.
func (w *world) Since(name.Repository, time.Time) bool { return false }

// Enlist lists nothing.
func (w *world) Enlist(context.Context, name.Repository) error { return nil }

// replica is a process with a clock of its own.
func (w *world) replica(skew time.Duration) *tags.Tags {
	now := func() time.Time { return time.Now().Add(skew) }
	records := catalog.New(w.store, nil)
	return tags.New(tags.Options{
		Upstream: w, Manifests: w, Maker: w, Losses: w, Records: records.Tags, Rollouts: records.Rollouts,
		Reached: records.Reached, Repositories: w, Returned: w.returned,
		Rule: func(repository string) config.Rule {
			r := config.DefaultRule()
			r.Family, r.Rollout, r.Refresh = repository, *w.rule.Load(), 0
			return r
		},
		Work: background.New(background.Options{Now: now}), Leases: w.leases, RecordAge: time.Second,
		Logger: slog.New(slog.DiscardHandler), Now: now,
	})
}

func newWorld(t *testing.T, rule config.Rollout) *world {
	t.Helper()
	store, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: store, leases: lease.New(lease.NewLocal(), nil)}
	w.rule.Store(&rule)
	w.newest.Store(1)
	return w
}

func parsed(t *testing.T, of ...string) []config.Step {
	t.Helper()
	out := make([]config.Step, len(of))
	for i, s := range of {
		if err := out[i].UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func asUser(ctx context.Context, i int) context.Context {
	return registry.WithClient(ctx, registry.Client{User: fmt.Sprint("host", i)})
}

const rolledHosts = 40

// model is what hosts may expect.
type model struct {
	t       *testing.T
	w       *world
	rnd     *rand.Rand
	skew    time.Duration // by which clocks are wrong at most
	tags    []*tags.Tags
	last    [rolledHosts]int64
	made    map[int64]time.Time // when a version was first seen by anybody
	free    map[int64]bool      // versions that the rule's hold is not for any longer
	held    *catalog.Rollout    // as it was when it was held
	withrew map[int64]bool
}

// pull has a host ask a replica, and checks what it gets.
func (m *model) pull(host, replica int) {
	m.t.Helper()
	ctx := asUser(m.t.Context(), host)
	got, err := m.tags[replica].Resolve(ctx, rolledRepo, "stable")
	if err != nil {
		m.t.Fatal(err)
	}
	m.automatic()
	n := m.w.number(got.Digest)
	if newest := m.w.newest.Load(); m.made[newest].IsZero() {
		m.made[newest] = time.Now()
	}
	switch {
	case n == 0:
		m.t.Fatalf("host %d got what the tag never stood for: %+v", host, got)
	case n < m.last[host]:
		m.t.Fatalf("host %d goes back from %d to %d", host, m.last[host], n)
	case m.withrew[n]:
		m.t.Fatalf("host %d got version %d, which was withdrawn", host, n)
	case m.held != nil:
		if want := max(m.last[host], m.w.number(rollout.Stable(m.held).Digest)); n != want {
			m.t.Fatalf("host %d got version %d while it was held, and %d before", host, n, want)
		}
	}
	hold := time.Duration(m.w.rule.Load().Hold)
	if n > 1 && !m.free[n] && time.Since(m.made[n])+2*m.skew < hold {
		m.t.Fatalf("host %d got version %d after %s", host, n, time.Since(m.made[n]))
	}
	m.last[host] = n
}

// automatic notes that hosts held the roll-out, which nothing but an operator ends.
func (m *model) automatic() {
	r, err := m.tags[0].Rollouts.Get(m.t.Context(), catalog.TagKey{Repository: rolledRepo.String(), Tag: "stable"})
	if err != nil {
		m.t.Fatal(err)
	}
	if r != nil && r.Held != nil && m.held == nil {
		if r.Held.By != rollout.Automatic {
			m.t.Fatalf("held by %s", r.Held.By)
		}
		m.held = r
	}
	if m.held != nil && (r == nil || r.Held == nil) && m.w.leased {
		m.t.Fatal("a hold is gone that no operator ended")
	}
}

// byHand does one of the things that operators do.
func (m *model) byHand(replica int) {
	ctx, at := m.t.Context(), m.tags[replica]
	switch m.rnd.IntN(4) {
	case 0:
		if r, err := at.Hold(ctx, rolledRepo, "stable", "alice", "held"); err == nil {
			m.held = r
		}
	case 1, 2:
		if r, err := at.GoOn(ctx, rolledRepo, "stable", "bob", m.rnd.IntN(4) == 0); err == nil {
			m.held = nil
			newest := m.w.number(r.Versions[len(r.Versions)-1].Digest)
			m.free[newest] = true
			delete(m.withrew, newest)
		}
	case 3:
		r, err := at.Rollback(ctx, rolledRepo, "stable", "carol", "")
		if err != nil {
			return
		}
		m.last = [rolledHosts]int64{}
		m.held = nil // it takes the hold's place
		for _, v := range r.Versions {
			if v.Withdrawn != nil {
				m.withrew[m.w.number(v.Digest)] = true
			}
		}
	}
}

// Whatever replicas, restarts, clocks, operators and the upstream do, no host goes back to an older version but by a
// rollback, and nobody gets by the tag what is held or withdrawn. A clock that is wrong by hours brings a version to hosts
// by so much too early or too late, and does no more; nor does it matter that Redis does not answer.
func TestHostsNeverGoBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		skew, away := 40*time.Second, seed%3 == 2
		if seed%2 == 1 {
			skew = 3 * time.Hour
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { randomFleet(t, rand.New(rand.NewPCG(seed, 7)), skew, away) })
		})
	}
}

// away are leases of a Redis that does not answer.
type away struct{ lease.Backend }

// Take implements lease.Backend.
func (away) Take(context.Context, string, string, time.Duration) (lease.Grant, error) {
	return lease.Grant{}, lease.ErrUnavailable
}

// Free implements lease.Backend.
func (away) Free(context.Context, lease.Grant) error { return lease.ErrUnavailable }

func randomFleet(t *testing.T, rnd *rand.Rand, maxSkew time.Duration, noLeases bool) {
	rules := []config.Rollout{
		{Hold: config.Duration(12 * time.Hour), Steps: parsed(t, "5% at 0h", "50% at 24h", "100% at 48h")},
		{Steps: parsed(t, "20% at 1h", "80% at 8h", "100% at 9h"), First: []string{"host1", "host2"}},
		{Hold: config.Duration(3 * time.Hour)}, // all at once then
		{Steps: parsed(t, "10% at 0h", "50% at 6h", "100% at 12h"),
			Require: config.Requirement{Share: 0.9, Within: config.Duration(2 * time.Hour)}},
	}
	w := newWorld(t, rules[rnd.IntN(len(rules))])
	w.leased = !noLeases
	if noLeases {
		w.leases = lease.New(away{}, nil)
	}
	skew := func() time.Duration { return time.Duration(rnd.Int64N(int64(2*maxSkew))) - maxSkew }
	m := &model{t: t, w: w, rnd: rnd, skew: maxSkew, made: map[int64]time.Time{1: time.Now()}, free: map[int64]bool{1: true},
		withrew: map[int64]bool{}}
	for range 3 {
		m.tags = append(m.tags, w.replica(skew()))
	}
	defer func() {
		for _, r := range m.tags {
			_ = r.Work.Close(context.Background())
		}
	}()
	m.pull(0, 0)
	for range 400 {
		replica := rnd.IntN(len(m.tags))
		switch rnd.IntN(20) {
		case 0:
			w.newest.Add(1)
		case 1:
			m.byHand(replica)
		case 2: // a restart, with another clock
			_ = m.tags[replica].Work.Close(t.Context())
			m.tags[replica] = w.replica(skew())
		case 5: // hosts come back, or don't, or nobody knows
			w.back.Store([]*rollout.Seen{nil, {Hosts: 9, Back: 9, Watched: true}, {Hosts: 9, Overdue: 9},
				{Hosts: 9, Overdue: 9, Watched: true}}[rnd.IntN(4)])
			m.automatic()
		case 3, 4:
			time.Sleep(time.Duration(rnd.Int64N(int64(10 * time.Hour))))
		default:
			m.pull(rnd.IntN(rolledHosts), replica)
		}
	}
}

// A version goes out to hosts by steps, the same at each replica and after a restart; digests and operators' requests go
// ahead.
func TestRolledOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config.Rollout{Hold: config.Duration(time.Hour), Steps: parsed(t, "30% at 0h", "100% at 10h")})
		a, b := w.replica(0), w.replica(30*time.Second)
		defer func() { _, _ = a.Work.Close(context.Background()), b.Work.Close(context.Background()) }()
		answers := func(r *tags.Tags) (digests []digest.Digest, said []string) {
			for i := range 200 {
				m, err := r.Resolve(asUser(t.Context(), i), rolledRepo, "stable")
				if err != nil || !m.Staged {
					t.Fatalf("%+v, %v", m, err)
				}
				digests, said = append(digests, m.Digest), append(said, m.Rollout)
			}
			return digests, said
		}
		newer := func(of []digest.Digest) (n int) {
			for _, d := range of {
				n += int(w.number(d)) - 1
			}
			return n
		}
		if d, said := answers(a); newer(d) != 0 || said[0] != "" {
			t.Fatalf("%d, %q", newer(d), said)
		}
		w.newest.Store(2)
		m, err := a.Refresh(t.Context(), rolledRepo, "stable") // watch, warm
		if err != nil || w.number(m.Digest) != 2 {
			t.Fatalf("%+v, %v", m, err)
		}
		if d, said := answers(b); newer(d) != 0 || !strings.HasPrefix(said[0], "held until ") {
			t.Fatalf("%d, %q", newer(d), said)
		}
		time.Sleep(time.Hour + time.Minute)
		d, _ := answers(a)
		if n := newer(d); n < 40 || n > 80 {
			t.Errorf("%d of 200 get it", n)
		}
		restarted := w.replica(-30 * time.Second)
		defer func() { _ = restarted.Work.Close(context.Background()) }()
		for _, r := range []*tags.Tags{b, restarted} {
			if again, _ := answers(r); !slices.Equal(d, again) {
				t.Error("replicas differ")
			}
		}
		earlier := func(r *tags.Tags) (n int) { // hosts whose version is not the newest
			for i := range 200 {
				if m, err := r.Resolve(asUser(t.Context(), i), rolledRepo, "stable"); err != nil || m.Earlier {
					n++
				}
			}
			return n
		}
		if n := earlier(a); n != 200-newer(d) {
			t.Errorf("%d of 200 get an earlier version", n)
		}
		time.Sleep(10 * time.Hour)
		if d, said := answers(restarted); newer(d) != 200 || said[0] != "" {
			t.Errorf("%d, %q", newer(d), said)
		}
		if _, err := a.Rollback(t.Context(), rolledRepo, "stable", "alice", ""); err != nil {
			t.Fatal(err)
		}
		if d, _ := answers(a); newer(d) != 0 || earlier(a) != 0 {
			t.Errorf("rolled back: %d have what was withdrawn, %d an earlier version", newer(d), earlier(a))
		}
	})
}

// Tags that hold signatures are no versions, and tags without a rule are as they were, until an operator holds them.
func TestNotRolledOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config.Rollout{Hold: config.Duration(time.Hour)})
		r := w.replica(0)
		defer func() { _ = r.Work.Close(context.Background()) }()
		signature := name.Reference("sha256-" + strings.Repeat("0", 64) + ".sig")
		get := func(tag name.Reference, want int64, staged bool) {
			t.Helper()
			m, err := r.Resolve(asUser(t.Context(), 1), rolledRepo, tag)
			if err != nil || w.number(m.Digest) != want || m.Staged != staged {
				t.Errorf("%s: %+v, %v", tag, m, err)
			}
		}
		get(signature, 1, false)
		get("stable", 1, true)
		w.newest.Store(2)
		get(signature, 2, false)
		get("stable", 1, true)
		w.rule.Store(&config.Rollout{}) // the rule goes, and with it what it held
		get("stable", 2, true)
		get("other", 2, false)
		if _, err := r.Hold(t.Context(), rolledRepo, "other", "alice", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Hold(t.Context(), rolledRepo, "unknown", "alice", ""); err == nil {
			t.Error("a tag is held that nobody pulled")
		}
		w.newest.Store(3)
		get("other", 2, true)
		get("stable", 3, true)
		out, err := r.GoOn(t.Context(), rolledRepo, "other", "alice", false)
		if err != nil {
			t.Fatal(err)
		}
		if s := rollout.StateOf(out); s != rollout.Complete { // what is due begins with the release
			t.Errorf("released, it is %s", s)
		}
		get("other", 3, true)
		if _, err := r.Rollback(t.Context(), rolledRepo, "other", "alice", ""); err != nil {
			t.Fatal(err)
		}
		get("other", 2, true)
	})
}
