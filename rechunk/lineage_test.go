package rechunk_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// What was lost or damaged of the state never fails an image: it is made again, or the image is planned as new.
func TestLostState(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		harm func(t *testing.T, b *bench, v rechunk.Version)
		log  string
		kept bool // layers are kept all the same
	}{
		"index records lost": {func(_ *testing.T, b *bench,
			_ rechunk.Version) {
			b.store.DeleteRecords(rechunk.KindIndex)
		}, "", true},
		"index records damaged": {harmRecords(rechunk.KindIndex, `{"digest":`), "record is damaged", true},
		"index records empty":   {harmRecords(rechunk.KindIndex, `{}`), "record is damaged", true},
		"index records null":    {harmRecords(rechunk.KindIndex, `null`), "record is damaged", true},
		"indexes lost":          {harmIndexes(func([]byte) []byte { return nil }), "index is lost", true},
		"indexes damaged":       {harmIndexes(flipped), "index is damaged", true},
		"indexes cut":           {harmIndexes(func(b []byte) []byte { return b[:len(b)/2] }), "index is damaged", true},
		"lineage lost": {func(_ *testing.T, b *bench,
			_ rechunk.Version) {
			b.store.DeleteRecords(rechunk.KindLineage)
		}, "", false},
		"lineage damaged": {harmRecords(rechunk.KindLineage, `[]`), "record is damaged", false},
		"lineage empty": {harmRecords(rechunk.KindLineage, `{"versions":[{}]}`), "version in a record is damaged",
			false},
		"history lost": {func(_ *testing.T, b *bench,
			_ rechunk.Version) {
			b.store.DeleteRecords(rechunk.KindHistory)
		}, "", true},
		"history damaged": {harmRecords(rechunk.KindHistory, `{"format":1,"files":"?"}`), "record is damaged", true},
		"lineage null":    {harmRecords(rechunk.KindLineage, `{"versions":null}`), "", false},
		"layer lost": {func(_ *testing.T, b *bench, v rechunk.Version) {
			b.store.DeleteBlob(v.Layers[0].Digest)
		}, "not planned against", false},
		"layer damaged, and its record lost": {func(_ *testing.T, b *bench, v rechunk.Version) {
			b.store.DeleteRecords(rechunk.KindIndex)
			harmBlob(t, b, v.Layers[0].Digest, flipped)
		}, "stored layer is damaged", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			first, _ := b.serve(t, source(t, system("1", stamp)), rules)
			c.harm(t, b, first)
			v := b.rechunk(t, source(t, system("2", stamp)), "test", rules)
			if !b.log.Has(c.log) {
				t.Errorf("the log lacks %q", c.log)
			}
			if (v.LayersKept > 0) != c.kept {
				t.Errorf("%d layers kept", v.LayersKept)
			}
			again := newBench(t, b.store, 2).rechunk(t, source(t, system("2", stamp)), "test", rules)
			if again.Digest != v.Digest {
				t.Errorf("%s the next time, %s before", again.Digest, v.Digest)
			}
		})
	}
}

// An earlier image that lost one layer is still built on: clients have the others.
func TestOtherLayersAreKeptWhenOneIsLost(t *testing.T) {
	t.Parallel()
	noise := rand.New(rand.NewPCG(1, 2))
	items := system("1", stamp)
	for _, name := range []string{"a", "b", "c", "d"} {
		content := make([]byte, 3<<20)
		for i := range content {
			content[i] = byte(noise.Uint32())
		}
		items = append(items, treetest.File("big-"+name, string(content)).WithXattr("user.component", name))
	}
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	first, _ := b.serve(t, source(t, items), rules)
	if len(first.Layers) < 3 {
		t.Fatalf("%d layers, the test needs some", len(first.Layers))
	}
	b.store.DeleteBlob(first.Layers[1].Digest)
	next := append(slices.Clone(items), treetest.File("new", "new"))
	v, s := b.serve(t, source(t, next), rules)
	same(t, reference(t, next), s.Tree, true)
	if want := len(first.Layers) - 1; v.LayersKept < want {
		t.Errorf("%d layers kept, want %d", v.LayersKept, want)
	}
	if !b.log.Has("is lost and not built on") {
		t.Error("the log does not say what was lost")
	}
}

func harmRecords(kind, doc string) func(*testing.T, *bench, rechunk.Version) {
	return func(t *testing.T, b *bench, _ rechunk.Version) {
		for _, key := range b.store.Records(kind) {
			if err := b.store.PutRecord(t.Context(), kind, key, []byte(doc)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// harmIndexes changes the blobs of all indexes. Two layers may share one.
func harmIndexes(change func([]byte) []byte) func(*testing.T, *bench, rechunk.Version) {
	return func(t *testing.T, b *bench, _ rechunk.Version) {
		indexes := map[digest.Digest]bool{}
		for _, key := range b.store.Records(rechunk.KindIndex) {
			raw, err := b.store.GetRecord(t.Context(), rechunk.KindIndex, key)
			if err != nil {
				t.Fatal(err)
			}
			var rec struct{ Digest digest.Digest }
			if err := json.Unmarshal(raw, &rec); err != nil {
				t.Fatal(err)
			}
			indexes[rec.Digest] = true
		}
		for d := range indexes {
			harmBlob(t, b, d, change)
		}
	}
}

func harmBlob(t *testing.T, b *bench, d digest.Digest, change func([]byte) []byte) {
	t.Helper()
	blob, ok := b.store.Blob(d)
	if !ok {
		t.Fatalf("no blob %s", d)
	}
	if changed := change(slices.Clone(blob)); changed != nil {
		b.store.PutBlob(d, changed)
	} else {
		b.store.DeleteBlob(d)
	}
}

// flipped changes one bit in the middle.
func flipped(b []byte) []byte {
	b = slices.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// A stored layer that turns out to be damaged when its contents are wanted is not built on; the contents come from
// elsewhere.
func TestDamagedLayerIsNotBuiltOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	first, _ := b.serve(t, source(t, system("1", stamp)), rules)
	for _, l := range first.Layers {
		harmBlob(t, b, l.Digest, flipped)
	}
	// A new header on a directory of all files: every content is wanted, and the layer that is known has it.
	next := system("1", stamp)
	next[1] = next[1].WithMode(0o711)
	img := source(t, system("1", stamp), next[1:2])
	v, s := b.serve(t, img, rules)
	same(t, reference(t, next), s.Tree, true)
	if v.LayersKept != 0 || img.Reads(img.Layers[0]) != 1 || !b.log.Has("stored layer is damaged") {
		t.Errorf("%d layers kept, %d fetches", v.LayersKept, img.Reads(img.Layers[0]))
	}
}

// A result is found again only while everything that a client needs of it is stored.
func TestKnownResult(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, b *bench, v rechunk.Version){
		"record damaged": harmRecords(rechunk.KindServed, `{"digest":"sha256:0"}`),
		"record empty":   harmRecords(rechunk.KindServed, `{}`),
		"manifest lost":  func(_ *testing.T, b *bench, v rechunk.Version) { b.store.DeleteBlob(v.Digest) },
		"config lost":    func(_ *testing.T, b *bench, v rechunk.Version) { b.store.DeleteBlob(v.Config) },
		"layer lost":     func(_ *testing.T, b *bench, v rechunk.Version) { b.store.DeleteBlob(v.Layers[0].Digest) },
	}
	for name, harm := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			first, _ := b.serve(t, source(t, system("1", stamp)), rules)
			harm(t, b, first)
			if v, _ := b.serve(t, source(t, system("1", stamp)), rules); v.Digest != first.Digest {
				t.Errorf("%s, want %s again", v.Digest, first.Digest)
			}
		})
	}
}

// gate is a Source.Fault that waits to be let through.
type gate struct {
	mu   sync.Mutex
	in   int
	open chan struct{}
}

func (g *gate) wait(ctx context.Context, _ digest.Digest) error {
	g.mu.Lock()
	g.in++
	g.mu.Unlock()
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Runs of one lineage wait for each other; those of two do not.
func TestLineagesTakeTurns(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"test": 1, "other": 2} {
		synctest.Test(t, func(t *testing.T) {
			b, g := newBench(t, &rechunktest.MemoryStore{}, 2), &gate{open: make(chan struct{})}
			var wg sync.WaitGroup
			for i, lineage := range []string{"test", name} {
				img := source(t, system([]string{"1", "2"}[i], stamp))
				img.Fault = func(ctx context.Context, d digest.Digest) error {
					if d != img.Layers[0] {
						return nil
					}
					return g.wait(ctx, d)
				}
				wg.Go(func() {
					if _, err := b.Rechunk(t.Context(), img.Request(lineage, rules)); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			if g.in != want {
				t.Errorf("%d runs of %q and %q at work, want %d", g.in, "test", name, want)
			}
			close(g.open)
			wg.Wait()
		})
	}
}

// Who waits for a lineage leaves when its context ends.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, g := newBench(t, &rechunktest.MemoryStore{}, 2), &gate{open: make(chan struct{})}
		img := source(t, system("1", stamp))
		img.Fault = func(ctx context.Context, d digest.Digest) error {
			if d != img.Layers[0] {
				return nil
			}
			return g.wait(ctx, d)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := b.Rechunk(t.Context(), img.Request("test", rules)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := b.Rechunk(ctx, source(t, system("2", stamp)).Request("test", rules)); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		close(g.open)
		wg.Wait()
	})
}
