package rechunk_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
)

// published is a served image as another place has it.
func published(t *testing.T, b *bench, v rechunk.Version) rechunk.Request {
	t.Helper()
	raw, ok := b.store.Blob(v.Digest)
	if !ok {
		t.Fatal("no manifest")
	}
	return rechunk.Request{Lineage: "test", Digest: v.Digest, Manifest: raw, Source: storeSource{b.store}, Options: rules}
}

// A state that was lost goes on from what was published of it: the same layers are kept, and the image is the one that it
// would have been.
func TestAdopt(t *testing.T) {
	t.Parallel()
	before := newBench(t, &rechunktest.MemoryStore{}, 2)
	first, _ := before.serve(t, source(t, system("1", stamp)), rules)
	req := published(t, before, first)
	want, _ := before.serve(t, source(t, system("2", stamp)), rules)

	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	for i, adopted := range []bool{true, false} {
		if got, err := b.Adopt(t.Context(), req); got != adopted || err != nil {
			t.Fatalf("time %d: adopted %t, %v", i, got, err)
		}
	}
	v, s := b.serve(t, source(t, system("2", stamp)), rules)
	same(t, reference(t, system("2", stamp)), s.Tree, true)
	if v.Digest != want.Digest || v.LayersKept != want.LayersKept || v.Sequence != 2 {
		t.Errorf("%s, want %s; %d layers kept, sequence %d", v.Digest, want.Digest, v.LayersKept, v.Sequence)
	}
	versions, err := b.LineageOf(t.Context(), "test", v.Platform)
	if err != nil || len(versions) != 2 || versions[1].SourceDigest != first.SourceDigest ||
		versions[1].TotalBytes != first.TotalBytes {
		t.Errorf("%+v, %v", versions, err)
	}
}

// What cannot be built on is refused, and leaves no lineage.
func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	first, _ := b.serve(t, source(t, system("1", stamp)), rules)
	for name, change := range map[string]func(*rechunk.Request){
		"another compression": func(r *rechunk.Request) { r.Options.Format = layer.Gzip },
		"a wrong diff_id": func(r *rechunk.Request) {
			var m ocispec.Manifest
			var c ocispec.Image
			raw, _ := b.store.Blob(first.Config)
			if json.Unmarshal(r.Manifest, &m) != nil || json.Unmarshal(raw, &c) != nil {
				t.Fatal("bad documents")
			}
			c.RootFS.DiffIDs[0] = digest.FromString("another")
			config, _ := json.Marshal(c)
			m.Config.Digest, m.Config.Size = digest.FromBytes(config), int64(len(config))
			b.store.PutBlob(m.Config.Digest, config)
			r.Manifest, _ = json.Marshal(m)
			r.Digest = digest.FromBytes(r.Manifest)
		},
	} {
		t.Run(name, func(t *testing.T) {
			req := published(t, b, first)
			change(&req)
			fresh := newBench(t, &rechunktest.MemoryStore{}, 2)
			if got, err := fresh.Adopt(t.Context(), req); got || !errors.Is(err, rechunk.ErrNotAdopted) {
				t.Errorf("%t, %v", got, err)
			}
			if n := len(fresh.store.Records(rechunk.KindLineage)); n != 0 || fresh.store.OpenWriters() != 0 {
				t.Errorf("%d lineages", n)
			}
		})
	}
	req := published(t, b, first)
	b.store.DeleteBlob(first.Layers[0].Digest)
	fresh := newBench(t, &rechunktest.MemoryStore{}, 2)
	if got, err := fresh.Adopt(t.Context(), req); got || err == nil || len(fresh.store.Records(rechunk.KindLineage)) != 0 {
		t.Errorf("a layer is missing: %t, %v", got, err)
	}
}

// storeSource gives blobs out of a store.
type storeSource struct{ *rechunktest.MemoryStore }

func (s storeSource) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	return s.Open(ctx, d.Digest)
}

// Adopting writes a lineage as rechunking does: not without the lock, not over what a later holder wrote, and with its
// fence.
func TestAdoptIsFenced(t *testing.T) {
	t.Parallel()
	before := newBench(t, &rechunktest.MemoryStore{}, 2)
	first, _ := before.serve(t, source(t, system("1", stamp)), rules)
	req := published(t, before, first)

	store, l := &rechunktest.MemoryStore{}, &locker{}
	l.lost = errFault
	if got, err := lockedEngine(t, store, l).Adopt(t.Context(), req); got || !errors.Is(err, errFault) {
		t.Errorf("lock lost: adopted %t, %v", got, err)
	}
	if n := len(store.Records(rechunk.KindLineage)); n != 0 {
		t.Errorf("lock lost: %d lineages", n)
	}
	l.lost = nil
	other := lockedEngine(t, store, l)
	overtaken := false
	store.Fault = func(op rechunktest.Op, _ string) error {
		if op == rechunktest.Create && !overtaken {
			overtaken = true
			if _, err := other.Rechunk(t.Context(), source(t, system("2", stamp)).Request("test", rules)); err != nil {
				t.Errorf("the other: %v", err)
			}
		}
		return nil
	}
	if got, err := lockedEngine(t, store, l).Adopt(t.Context(), req); got || !errors.Is(err, rechunk.ErrFenced) ||
		!overtaken {
		t.Errorf("overtaken %t: adopted %t, %v", overtaken, got, err)
	}
	versions, err := other.LineageOf(t.Context(), "test", first.Platform)
	if err != nil || len(versions) != 1 || versions[0].Digest == first.Digest {
		t.Errorf("the other's lineage was overwritten: %+v, %v", versions, err)
	}
	fresh := &rechunktest.MemoryStore{}
	if got, err := lockedEngine(t, fresh, l).Adopt(t.Context(), req); !got || err != nil {
		t.Fatalf("adopted %t, %v", got, err)
	}
	raw, err := fresh.GetRecord(t.Context(), rechunk.KindLineage, fresh.Records(rechunk.KindLineage)[0])
	var record rechunk.Lineage
	if err != nil || json.Unmarshal(raw, &record) != nil || record.Fence != l.fence.Load() {
		t.Errorf("fence %d, want %d: %v", record.Fence, l.fence.Load(), err)
	}
}
