package fleet

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/name"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a store with a clock.
type world struct {
	t       testing.TB
	now     time.Time
	records *catalog.Records
	leases  *lease.Leases
	by      config.Fleet
}

func newWorld(t testing.TB) *world {
	t.Helper()
	store, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), records: catalog.New(store, nil),
		leases: lease.New(lease.NewLocal(), nil),
		by:     config.Fleet{Identify: config.IdentifyAddress, Retention: config.Duration(30 * 24 * time.Hour)}}
}

func (w *world) settings() config.Fleet { return w.by }

// replica is a process that has read what is known.
func (w *world) replica() *Fleet {
	w.t.Helper()
	f := New(Options{
		Hosts: w.records.Fleet, Tags: w.records.FleetTags, Settings: w.settings, Leases: w.leases,
		Label: func(_ context.Context, _ string, d digest.Digest) string { return "v" + d.Encoded()[:4] },
		Now:   func() time.Time { return w.now },
	})
	if err := f.Load(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *world) flush(of ...*Fleet) {
	w.t.Helper()
	for _, f := range of {
		for round := range rounds {
			if err := f.Flush(w.t.Context(), round); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func image(n int) digest.Digest { return digest.FromString(fmt.Sprint("image ", n)) }

// pulls is a host that gets an image by a tag.
func pulls(host, repository, n int) Sighting {
	return Sighting{Repository: fmt.Sprint("ghcr.io/team/os", repository), Tag: "stable", Digest: image(n), Got: true,
		Address: netip.AddrFrom4([4]byte{10, byte(host >> 16), byte(host >> 8), byte(host)}), Agent: "bootc/1.1.4"}
}

// shape says how many hosts have which version of a tag, newest first.
func shape(t testing.TB, f *Fleet, tag string) string {
	t.Helper()
	r, err := f.Report(tag)
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, v := range r.Tags[0].Versions {
		parts = append(parts, fmt.Sprintf("%d:%d", v.Lag, v.Hosts))
	}
	return strings.Join(parts, " ")
}

// Who checks signatures asks for their tags, too, and runs none of them.
func TestSignaturesAreNoTags(t *testing.T) {
	t.Parallel()
	f := newWorld(t).replica()
	f.Saw(pulls(1, 1, 1))
	for _, kind := range []string{"", ".sig", ".att", ".sbom"} {
		s := pulls(1, 1, 9)
		s.Tag = string(name.TagAbout(image(1), kind))
		f.Saw(s)
	}
	if r, err := f.Report(""); err != nil || r.Hosts != 1 || len(r.Tags) != 1 || len(r.Tags[0].Versions) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Hosts are counted once by whichever replica they ask, by what they got last, and after restarts, too.
func TestReplicas(t *testing.T) {
	t.Parallel()
	const tag = "ghcr.io/team/os1:stable"
	w := newWorld(t)
	a, b := w.replica(), w.replica()
	for i := range 100 {
		a.Saw(pulls(i, 1, 1))
	}
	w.now = w.now.Add(time.Hour)
	w.flush(a, b)
	for i := range 30 {
		b.Saw(pulls(i, 1, 2))
	}
	b.Saw(pulls(1000, 1, 2))
	asks := pulls(99, 1, 2) // what it stands for, and no more
	asks.Got = false
	b.Saw(asks)
	if asks = pulls(2000, 1, 2); true {
		asks.Got = false
		b.Saw(asks)
	}
	w.flush(b, a)
	for name, f := range map[string]*Fleet{"a": a, "b": b, "restarted": w.replica()} {
		if got := shape(t, f, tag); got != "0:31 1:70" {
			t.Errorf("%s: %s", name, got)
		}
	}
	r, err := a.Report(tag)
	if err != nil {
		t.Fatal(err)
	}
	if last := r.Tags[0].List[len(r.Tags[0].List)-1]; last.Lag != 0 || last.Client != "bootc/1.1.4" || last.Version == "" {
		t.Errorf("%+v", last)
	}
	if first := r.Tags[0].List[0]; first.Lag != 1 || !first.LastSeen.Equal(w.now.Add(-time.Hour)) {
		t.Errorf("the one that is furthest behind and not seen is %+v", first)
	}
	if r.Hosts != 101 || r.Clients[0] != (ClientCount{"bootc/1.1.4", 101}) {
		t.Errorf("%+v", r)
	}
	// By digest, of a version of the tag; anything else is none.
	pinned := pulls(50, 1, 2)
	pinned.Tag = ""
	a.Saw(pinned)
	pinned.Digest = image(9)
	a.Saw(pinned)
	if got := shape(t, a, tag); got != "0:32 1:69" {
		t.Error(got)
	}
}

// A host that is not seen is forgotten, and so is a tag that was pruned.
func TestForgets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.replica()
	a.Saw(pulls(1, 1, 1))
	a.Saw(pulls(2, 2, 1))
	w.flush(a)
	if err := w.records.FleetTags.Delete(t.Context(),
		catalog.TagKey{Repository: "ghcr.io/team/os2", Tag: "stable"}); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Hour)
	w.flush(a)
	for _, f := range []*Fleet{a, w.replica()} {
		if r, err := f.Report(""); err != nil || r.Hosts != 1 || len(r.Tags) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	w.now = w.now.Add(31 * 24 * time.Hour)
	w.flush(a)
	if r, err := a.Report(""); err != nil || r.Hosts != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// What hosts are told apart by, and that nothing says who they are.
func TestIdentify(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		by    config.Identify
		s     Sighting
		other Sighting // the same host
		same  bool
	}{
		{config.IdentifyAddress, Sighting{Address: netip.MustParseAddr("2001:db8::1")},
			Sighting{Address: netip.MustParseAddr("2001:db8::ffff"), User: "x"}, true},
		{config.IdentifyAddress, Sighting{Address: netip.MustParseAddr("10.0.0.1")},
			Sighting{Address: netip.MustParseAddr("::ffff:10.0.0.1")}, true},
		{config.IdentifyAddress, Sighting{Address: netip.MustParseAddr("10.0.0.1"), User: "x"},
			Sighting{Address: netip.MustParseAddr("10.0.0.2"), User: "x"}, false},
		{config.IdentifyUser, Sighting{Address: netip.MustParseAddr("10.0.0.1"), User: "x"},
			Sighting{Address: netip.MustParseAddr("10.0.0.2"), User: "x"}, true},
		{config.IdentifyUser, Sighting{User: "x"}, Sighting{User: "y"}, false},
		{config.IdentifyUser, Sighting{}, Sighting{}, false}, // is not counted
		{config.IdentifyCertificate, Sighting{Certificate: "x"}, Sighting{Certificate: "x", User: "y"}, true},
	} {
		a, b := who(tt.by, tt.s), who(tt.by, tt.other)
		if (a != "" && a == b) != tt.same {
			t.Errorf("%s: %q and %q", tt.by, a, b)
		}
	}
	w := newWorld(t)
	f := w.replica()
	f.Saw(pulls(1, 1, 1))
	w.flush(f)
	other := newWorld(t)
	g := other.replica()
	g.Saw(pulls(1, 1, 1))
	one, _ := f.Report("ghcr.io/team/os1:stable")
	two, _ := g.Report("ghcr.io/team/os1:stable")
	if one.Tags[0].List[0].ID == two.Tags[0].List[0].ID {
		t.Error("two stores name a host alike")
	}
	off := New(Options{Settings: func() config.Fleet { return config.Fleet{} }})
	off.Saw(pulls(1, 1, 1))
	if _, err := off.Report(""); err != ErrOff {
		t.Error(err)
	}
}

// Who invents hosts, tags or programs takes a bounded place, and what was not seen for the longest time goes.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.by.Identify = config.IdentifyUser
	f := w.replica()
	s := pulls(1, 1, 1)
	for i := range 3 * maxNew {
		s.User = fmt.Sprint("invented ", i)
		f.Saw(s)
	}
	if r, _ := f.Report(""); r.Hosts != maxNew {
		t.Errorf("%d hosts of one network", r.Hosts)
	}
	for i := range 150_000 {
		s.User, s.Address = fmt.Sprint("host ", i), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), 0})
		if i%1000 == 0 {
			w.now = w.now.Add(time.Second)
		}
		f.Saw(s)
	}
	r, _ := f.Report("")
	if r.Hosts > parts*catalog.MaxFleetPart || r.Hosts < 60_000 {
		t.Errorf("%d hosts", r.Hosts)
	}
	s.User, s.Agent = "host 149999", strings.Repeat("x", 1000)+"/1"
	for i := range maxTags + 100 {
		w.now = w.now.Add(time.Second)
		s.Tag = fmt.Sprint("tag", i)
		f.Saw(s)
	}
	s.Tag = "tag7"
	for i := range 100 {
		s.Digest = image(i)
		f.Saw(s)
	}
	w.flush(f)
	if len(f.tags) > maxTags || len(f.tags["ghcr.io/team/os1:tag7"].versions) != catalog.MaxFleetVersions {
		t.Errorf("%d tags", len(f.tags))
	}
	for _, h := range f.hosts {
		for _, h := range h {
			if len(h.Pulls) > catalog.MaxFleetPulls || len(h.Client) > catalog.MaxFleetClient {
				t.Fatalf("%+v", h)
			}
		}
	}
	again := w.replica()
	if r, err := again.Report(""); err != nil || r.Hosts < 60_000 {
		t.Errorf("%+v, %v", r.Hosts, err)
	}
}

// Ten thousand hosts, each with three of a thousand repositories, take less than a KiB each.
func TestMemory(t *testing.T) { // alone: it measures
	w := newWorld(t)
	f := w.replica()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const hosts = 10_000
	for i := range hosts {
		for k := range 3 {
			f.Saw(pulls(i, (i+k)%1000, i%5))
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := int(after.HeapAlloc-before.HeapAlloc) / hosts; each > 1024 {
		t.Errorf("%d bytes for each host", each)
	} else {
		t.Logf("%d bytes for each host", each)
	}
	if r, _ := f.Report(""); r.Hosts != hosts || len(r.Tags) != 1000 {
		t.Errorf("%d hosts, %d tags", r.Hosts, len(r.Tags))
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"bootc/1.1.4": "bootc/1.1.4",
		"containers/5.34.1 (github.com/containers/image)": "containers/5.34.1",
		"skopeo/1.18.0 containers/5.34":                   "skopeo/1.18.0",
		"Go-http-client/1.1":                              "Go-http-client/1.1",
		"Mozilla/5.0 (X11) Firefox/130":                   "Firefox/130",
		"a\x1b[2J/1 docker/27":                            "docker/27",
		"":                                                "", "(": "",
	} {
		if got := client(agent); got != want {
			t.Errorf("%q: %q", agent, got)
		}
	}
}

func FuzzClient(f *testing.F) {
	f.Add("bootc/1.1.4 (x)")
	f.Fuzz(func(t *testing.T, agent string) {
		if c := client(agent); len(c) > catalog.MaxFleetClient || strings.ContainsAny(c, " \n\x1b") {
			t.Errorf("%q", c)
		}
	})
}

func BenchmarkReport(b *testing.B) {
	w := newWorld(b)
	f := w.replica()
	for i := range 10_000 {
		for k := range 3 {
			f.Saw(pulls(i, (i+k)%1000, i%5))
		}
	}
	for b.Loop() {
		if _, err := f.Report(""); err != nil {
			b.Fatal(err)
		}
	}
}

// A tag that went back to a version stands for that: hosts that have it are not behind, and the others are, at each replica
// and after restarts. Hosts whose turn has not come change nothing, and the version that was withdrawn may come again.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	const tag = "ghcr.io/team/os1:stable"
	w := newWorld(t)
	a, b := w.replica(), w.replica()
	step := func(want string, seen ...Sighting) {
		t.Helper()
		w.now = w.now.Add(time.Hour)
		for _, s := range seen {
			a.Saw(s)
		}
		w.flush(a, b)
		for name, f := range map[string]*Fleet{"a": a, "b": b, "restarted": w.replica()} {
			if got := shape(t, f, tag); got != want {
				t.Errorf("%s: %s, not %s", name, got, want)
			}
		}
	}
	asks, waits := pulls(0, 1, 1), pulls(0, 1, 1)
	asks.Got, waits.Earlier = false, true
	step("0:3", pulls(0, 1, 1), pulls(1, 1, 1), pulls(2, 1, 1))
	step("0:2 1:1", pulls(1, 1, 2), pulls(2, 1, 2))
	step("0:2 1:1", waits)
	step("0:1 1:2", asks)
	r, err := b.Report(tag)
	if err != nil || r.Tags[0].Current != 1 || r.Tags[0].Behind != 2 || r.Tags[0].List[2].Lag != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if counts := a.counts(); len(counts) != 2 || counts[0].Lag != 0 || counts[0].Hosts != 1 {
		t.Errorf("%+v", counts)
	}
	step("0:2 1:1", pulls(1, 1, 1))
	step("0:1 1:2", pulls(2, 1, 2)) // it goes on
	// All have what the tag went back from.
	step("0:3", pulls(0, 1, 2), pulls(1, 1, 2))
	step("1:3", asks)
	if r, err := a.Report(tag); err != nil || r.Tags[0].Current != 0 || r.Tags[0].Behind != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}
