package central

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

func bare(t *testing.T) *Central {
	t.Helper()
	chunks := storetest.InMemory(t)
	return &Central{
		Options: Options{
			Chunks: chunks, Records: catalog.New(chunks, nil), Now: time.Now, Metrics: (*metrics.Metrics)(nil),
			Logger: slog.New(slog.DiscardHandler), Queue: 256,
		},
		shelf: newShelf(), line: newLine(1, 256), jobs: map[digest.Digest]*job{}, loading: make(chan struct{}, 1),
	}
}

func stored(t *testing.T, c *Central, text string) *catalog.Delta {
	t.Helper()
	d, err := c.Chunks.Put(t.Context(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &catalog.Delta{Digest: d, Size: int64(len(text)), BlobSize: 1000, At: time.Now().UTC()}
}

var someKey = catalog.DeltaKey{
	Seed: digest.FromString("seed"), Layer: digest.FromString("layer"), Variant: variant(0, nil),
}

// What another replica has made meanwhile does not go instead of what was to.
func TestRemoveLooks(t *testing.T) {
	t.Parallel()
	c := bare(t)
	older, newer := stored(t, c, "older"), stored(t, c, "newer")
	c.shelf.put(someKey, *older, time.Now())
	if err := c.Records.Deltas.Put(t.Context(), someKey, newer); err != nil {
		t.Fatal(err)
	}
	if err := c.remove(t.Context(), someKey); err != nil {
		t.Fatal(err)
	}
	rec, err := c.Records.Deltas.Get(t.Context(), someKey)
	if err != nil || rec == nil || rec.Digest != newer.Digest || c.shelf.stored() != newer.Size {
		t.Errorf("%+v, %d bytes, %v", rec, c.shelf.stored(), err)
	}
	if err := c.remove(t.Context(), someKey); err != nil {
		t.Fatal(err)
	}
	if rec, err := c.Records.Deltas.Get(t.Context(), someKey); rec != nil || err != nil {
		t.Errorf("%+v, %v", rec, err)
	}
}

// Deltas that were evicted take no space of those that are there.
func TestLookForgets(t *testing.T) {
	t.Parallel()
	c := bare(t)
	rec := stored(t, c, "some delta")
	rec.At = rec.At.Add(-time.Hour)
	if err := c.Records.Deltas.Put(t.Context(), someKey, rec); err != nil {
		t.Fatal(err)
	}
	c.look(t.Context())
	if n := c.shelf.stored(); n != rec.Size {
		t.Errorf("%d bytes", n)
	}
	if err := c.Chunks.Delete(t.Context(), rec.Digest); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.look(t.Context())
		if n := c.shelf.stored(); n != 0 {
			t.Errorf("%d bytes", n)
		}
	}
}

// One repository does not fill the line.
func TestCrowded(t *testing.T) {
	t.Parallel()
	c := bare(t)
	var repos [2]name.Repository
	for i, text := range []string{"ghcr.io/a/b", "ghcr.io/c/d"} {
		var err error
		if repos[i], err = (name.Parser{}).Repository(text, ""); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.Queue / repositoryShare {
		if c.crowded(repos[0]) {
			t.Fatalf("no place for number %d", i)
		}
		id := digest.FromString(string(rune('a' + i)))
		c.jobs[id] = &job{repo: repos[0]}
	}
	if !c.crowded(repos[0]) || c.crowded(repos[1]) {
		t.Error("it is crowded for one repository, and for no other")
	}
}

// What says nothing of a delta is no refusal, and who waits for a seed to be looked at may leave.
func TestNothingSaid(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errUnwanted, errBroken, errFull, errImpatient} {
		var none *registry.NoDelta
		if err := clientError(err); !errors.As(err, &none) || none.Reason != "" || none.RetryAfter <= 0 {
			t.Errorf("%v", err)
		}
	}
	c := bare(t)
	unlock, err := c.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.load(gone); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	unlock()
}
