package rechunk_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
)

// carried brings all blobs of a version into another store, as a file does.
func carried(t *testing.T, from, to *bench, v rechunk.Version) {
	t.Helper()
	all := []digest.Digest{v.Digest, v.Config}
	for _, l := range v.Layers {
		all = append(all, l.Digest)
	}
	for _, d := range all {
		b, ok := from.store.Blob(d)
		if !ok {
			t.Fatalf("%s is not stored", d)
		}
		to.store.PutBlob(d, b)
	}
}

// What was made elsewhere and is taken in is what is served of its source, without work, and later versions are laid out
// after it, as they are where it was made.
func TestTake(t *testing.T) {
	t.Parallel()
	there := newBench(t, &rechunktest.MemoryStore{}, 2)
	one, two, three := source(t, system("1", stamp)), source(t, system("2", stamp)), source(t, system("3", stamp))
	first, _ := there.serve(t, one, rules)
	second, _ := there.serve(t, two, rules)

	here := newBench(t, &rechunktest.MemoryStore{}, 2)
	for i, v := range []rechunk.Version{first, second, second} {
		carried(t, there, here, v)
		of := rechunk.Made{Source: v.SourceDigest, Proven: i > 0}
		for _, l := range v.SourceLayers {
			of.Layers = append(of.Layers, ocispec.Descriptor{Digest: l, Size: 10})
		}
		taken, err := here.Take(t.Context(), published(t, there, v), of)
		if err != nil || taken != (i < 2) {
			t.Fatalf("taken %t, %v", taken, err)
		}
	}
	versions, err := here.LineageOf(t.Context(), "test", first.Platform)
	if err != nil || len(versions) != 2 || versions[0].Digest != second.Digest || versions[1].Digest != first.Digest {
		t.Fatalf("%+v, %v", versions, err)
	}
	got := versions[0]
	if got.SourceDigest != second.SourceDigest || !slices.Equal(got.SourceLayers, second.SourceLayers) ||
		got.LayersKept != second.LayersKept || got.NewBytes != second.NewBytes || got.Sequence != 2 ||
		got.SourceNewBytes == 0 || got.Config != second.Config {
		t.Errorf("%+v, want %+v", got, second)
	}
	for i, l := range got.Layers {
		want := second.Layers[i]
		if want.Encoder = ""; l.Digest != want.Digest || l.DiffID != want.DiffID || l.TarSize != want.TarSize ||
			l.Since != want.Since || l.Kept != want.Kept || l.Name != want.Name {
			t.Errorf("layer %d: %+v, want %+v", i, l, want)
		}
	}

	res, err := here.Rechunk(t.Context(), two.Request("test", rules))
	if err != nil || res.Digest != second.Digest || !res.Reused {
		t.Errorf("%+v, %v; want %s", res, err, second.Digest)
	}
	next, served := here.serve(t, three, rules)
	same(t, reference(t, system("3", stamp)), served.Tree, true)
	if next.LayersKept == 0 || next.Sequence != 3 {
		t.Errorf("%d layers kept, sequence %d", next.LayersKept, next.Sequence)
	}
	// What was not proven is nothing that is served: it is made.
	if res, err = here.Rechunk(t.Context(), one.Request("test", rules)); err != nil || res.Reused {
		t.Errorf("%+v, %v", res, err)
	}
}

// What cannot be built on is refused, and leaves nothing.
func TestTakeRefuses(t *testing.T) {
	t.Parallel()
	there := newBench(t, &rechunktest.MemoryStore{}, 2)
	v, _ := there.serve(t, source(t, system("1", stamp)), rules)
	for name, c := range map[string]struct {
		lost   digest.Digest
		format layer.Format
		want   error
	}{
		"another format": {"", layer.Gzip, rechunk.ErrNotAdopted},
		"a lost layer":   {v.Layers[0].Digest, layer.Zstd, rechunk.ErrNotFound},
	} {
		here := newBench(t, &rechunktest.MemoryStore{}, 2)
		carried(t, there, here, v)
		here.store.DeleteBlob(c.lost)
		req := published(t, there, v)
		req.Options.Format = c.format
		if taken, err := here.Take(t.Context(), req, rechunk.Made{Source: v.SourceDigest, Proven: true}); taken ||
			!errors.Is(err, c.want) {
			t.Errorf("%s: taken %t, %v", name, taken, err)
		}
		if n := len(here.store.Records(rechunk.KindLineage)) + len(here.store.Records(rechunk.KindServed)); n != 0 {
			t.Errorf("%s: %d records", name, n)
		}
	}
}
