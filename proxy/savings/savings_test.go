package savings_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/savings"
	"github.com/strata-oci/strata/rechunk"
)

const repository = "ghcr.io/team/os"

func of(text string, n int) digest.Digest { return digest.FromString(fmt.Sprint(text, n)) }

// series are versions, newest first: each has a base of 1,000 bytes and a layer of its own of 100, and its source a base of
// 700 and a layer of its own of 500.
type series []rechunk.Version

func newSeries(n int) (out series) {
	for i := n; i > 0; i-- {
		v := rechunk.Version{Reference: repository + ":stable",
			SourceLayers: []digest.Digest{of("source base", 0), of("source", i)},
			Layers:       []rechunk.VersionLayer{{Digest: of("base", 0), Size: 1000}, {Digest: of("layer", i), Size: 100}}}
		v.Digest, v.SourceDigest, v.SourceBytes, v.SourceNewBytes = of("image", i), of("source image", i), 1200, 500
		out = append(out, v)
	}
	return out
}

// Chain implements savings.Chains.
func (s series) Chain(_ context.Context, manifest digest.Digest) ([]rechunk.Version, error) {
	for i, v := range s {
		if v.Digest == manifest {
			return s[i:], nil
		}
	}
	return nil, nil
}

// documents are the sources' manifests.
type documents map[digest.Digest]string

var errGone = errors.New("gone")

// Get implements savings.Content.
func (d documents) Get(_ context.Context, of digest.Digest, _ int64) ([]byte, error) {
	if text, ok := d[of]; ok {
		return []byte(text), nil
	}
	return nil, errGone
}

func sourceOf(i int) string {
	const layer = `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"%s","size":%d}`
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":`+
		`"application/vnd.oci.image.config.v1+json","digest":"%s","size":2},"layers":[`+layer+`,`+layer+`]}`,
		of("config", i), of("source base", 0), 700, of("source", i), 500)
}

// world is a store with a clock.
type world struct {
	now     time.Time
	records *catalog.Records
	leases  *lease.Leases
	chains  series
	content documents
}

func newWorld(t testing.TB) *world {
	t.Helper()
	store, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &world{time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), catalog.New(store, nil), lease.New(lease.NewLocal(), nil),
		newSeries(3), documents{of("source image", 2): sourceOf(2), of("source image", 3): sourceOf(3)}}
}

// replica is a process with what it counts pulls by.
func (w *world) replica() (*savings.Savings, pulls.Counters) {
	s := savings.New(savings.Options{Records: w.records.Savings, Chains: w.chains, Content: w.content, Leases: w.leases,
		Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now }})
	return s, s.Counting(pulls.NewRecorded(w.records.Pulls))
}

// layers are so many downloads of the base and of a version's own layer.
func layers(base, version, own int64) pulls.Counts {
	out := map[digest.Digest]int64{of("layer", int(version)): own}
	if base > 0 {
		out[of("base", 0)] = base
	}
	return pulls.Counts{Layers: out}
}

// What was sent is what it is, and the source's part that of the same pulls: all of it for a new host, its new layers for an
// update. Replicas and restarts add up, and days are told apart.
func TestSavings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := func(c pulls.Counters, version int, counts pulls.Counts) {
		t.Helper()
		if err := c.Add(t.Context(), of("image", version), counts); err != nil {
			t.Fatal(err)
		}
	}
	a, counts := w.replica()
	add(counts, 1, layers(10, 1, 10)) // ten installations
	w.now = w.now.Add(24 * time.Hour)
	_, other := w.replica()
	add(counts, 2, layers(0, 2, 6)) // ten updates by one version
	add(other, 2, layers(0, 2, 4))
	add(counts, 9, layers(0, 9, 4)) // of nobody
	add(counts, 2, pulls.Counts{Last: w.now})
	restarted, _ := w.replica()
	for name, s := range map[string]*savings.Savings{"a": a, "restarted": restarted} {
		r, err := s.Report(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		want := []catalog.SavedDay{{Day: "2026-01-01", Sent: 11_000, Source: 12_000, Pulls: 10},
			{Day: "2026-01-02", Sent: 1000, Source: 5000, Pulls: 10}}
		if len(r.Days) != 2 || r.Days[0] != want[0] || r.Days[1] != want[1] {
			t.Errorf("%s: %+v", name, r.Days)
		}
		if r.Sent != 12_000 || r.Source != 17_000 || len(r.Repositories) != 1 || r.Repositories[0].Name != repository ||
			r.Repositories[0].Pulls != 20 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r, err := a.Report(t.Context(), "ghcr.io/other"); err != nil || len(r.Days) != 0 || len(r.Repositories) != 0 {
		t.Errorf("of another: %+v, %v", r, err)
	}
}

// Clients that are two versions behind would have taken what two versions brought, where that is known, and what one did
// where it is not.
func TestLagging(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		gone bool
		want int64
	}{"the source is stored": {false, 600}, "the source's manifest is gone": {true, 500}} {
		w := newWorld(t)
		// The second version brought a layer that the third has, too: who lacks it is two behind.
		shared := rechunk.VersionLayer{Digest: of("shared", 0), Size: 50}
		for i := range 2 {
			w.chains[i].Layers = append(w.chains[i].Layers, shared)
			w.chains[i].SourceLayers = append(w.chains[i].SourceLayers, of("source shared", 0))
		}
		text := sourceOf(3)
		w.content[of("source image", 3)] = text[:len(text)-2] + fmt.Sprintf(
			`,{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":100}]}`, of("source shared", 0))
		if tt.gone {
			delete(w.content, of("source image", 3))
		}
		s, counts := w.replica()
		counted := layers(0, 3, 1)
		counted.Layers[shared.Digest] = 1
		if err := counts.Add(t.Context(), of("image", 3), counted); err != nil {
			t.Fatal(err)
		}
		r, err := s.Report(t.Context(), repository)
		if err != nil || r.Sent != 150 || r.Source != tt.want {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// What is kept is bounded: the newest days stay.
func TestBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, counts := w.replica()
	for range catalog.MaxSavedDays + 10 {
		w.now = w.now.Add(24 * time.Hour)
		if err := counts.Add(t.Context(), of("image", 1), layers(1, 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Report(t.Context(), "")
	if err != nil || len(r.Days) != catalog.MaxSavedDays || r.Days[len(r.Days)-1].Day != w.now.Format(time.DateOnly) {
		t.Errorf("%d days, %v", len(r.Days), err)
	}
}
