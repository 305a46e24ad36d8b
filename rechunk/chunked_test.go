package rechunk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// A lineage changes to zstd:chunked and keeps its layers; back to zstd, whose layers are one frame each, it keeps none that
// have a table, and its plan says what hosts download for that.
func TestFormatChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	chunked := rules
	chunked.Format = layer.Chunked
	first, _ := b.serve(t, source(t, system("1", stamp)), rules)
	second, _ := b.serve(t, source(t, system("2", stamp)), chunked)
	if second.LayersKept == 0 || second.LayersNew == 0 {
		t.Fatalf("%d layers kept of %d, %d new", second.LayersKept, len(first.Layers), second.LayersNew)
	}
	tables := 0
	for _, l := range second.Layers {
		if told := toc.Told(l.Annotations); told == l.Kept || told != (l.Encoder == layer.Chunked.Spec().Encoder.String()) {
			t.Errorf("layer %s, kept %t, of encoder %s, has the annotations %v", l.Digest, l.Kept, l.Encoder, l.Annotations)
		} else if told {
			tables++
		}
	}
	third, s := b.serve(t, source(t, system("3", stamp)), rules)
	if third.LayersKept == 0 {
		t.Error("no layer of the first version is kept")
	}
	for i, l := range third.Layers {
		if toc.Told(l.Annotations) || toc.Told(s.Manifest.Layers[i].Annotations) {
			t.Errorf("layer %s has a table, kept %t", l.Digest, l.Kept)
		}
	}
	p, err := b.PlanOf(t.Context(), third.Digest)
	if err != nil || !strings.Contains(strings.Join(p.Notes, "\n"), "are of another format and not kept") {
		t.Errorf("%d tables, notes %q, %v", tables, p.Notes, err)
	}
}

// The same source and lineage give the same zstd:chunked image on any number of cores.
func TestChunkedIsReproducible(t *testing.T) {
	t.Parallel()
	chunked := rules
	chunked.Format = layer.Chunked
	var want [2]digest.Digest
	for parallel := range 3 {
		b := newBench(t, &rechunktest.MemoryStore{}, 1+parallel)
		for i, v := range []string{"1", "2"} {
			got, _ := b.serve(t, source(t, system(v, stamp)), chunked)
			if parallel == 0 {
				want[i] = got.Digest
			} else if got.Digest != want[i] {
				t.Errorf("%d at once: version %s is %s, was %s", 1+parallel, v, got.Digest, want[i])
			}
		}
	}
}

// crumbs are a component of many tiny files, one of which each version changes, beside one that is large.
func crumbs(version int) []Item {
	items := []Item{Dir("."), Dir("usr"), Dir("usr/share"), Dir("usr/share/crumbs")}
	for i := range 3000 {
		body := fmt.Sprintf("%d of 3000", i)
		if i == version {
			body = "changed"
		}
		items = append(items, File(fmt.Sprintf("usr/share/crumbs/%d", i), body).WithXattr("user.component", "crumbs"))
	}
	rng := rand.New(rand.NewPCG(1, uint64(version)))
	large := make([]byte, 300<<10)
	for i := range large {
		large[i] = byte(rng.Uint32())
	}
	return append(items, File("usr/share/large", string(large)).WithXattr("user.component", "large"))
}

// A layer of many tiny files is one of zstd in images of zstd:chunked, which the plan's notes say, and is kept as any is.
func TestTinyFilesArePlain(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	o := rules
	o.Format = layer.Chunked
	zstd := layer.Zstd.Spec().Encoder.String()
	v, _ := b.serve(t, source(t, crumbs(-1)), o)
	var plain []digest.Digest
	for _, l := range v.Layers {
		if told := toc.Told(l.Annotations); told == (l.Encoder == zstd) {
			t.Errorf("layer %s of encoder %s has the annotations %v", l.Digest, l.Encoder, l.Annotations)
		} else if !told {
			plain = append(plain, l.Digest)
		}
	}
	p, err := b.PlanOf(t.Context(), v.Digest)
	note := fmt.Sprintf("%d new layers with ", len(plain))
	if err != nil || len(plain) == 0 || len(plain) == len(v.Layers) || !strings.Contains(strings.Join(p.Notes, "\n"), note) {
		t.Fatalf("%d layers of %d are plain, notes %q, %v", len(plain), len(v.Layers), p.Notes, err)
	}
	next, _ := b.serve(t, source(t, crumbs(7)), o)
	for _, d := range plain {
		if !slices.ContainsFunc(next.Layers, func(l rechunk.VersionLayer) bool { return l.Digest == d && l.Kept }) {
			t.Errorf("layer %s is not kept", d)
		}
	}
}

// annotated makes an image of one zstd:chunked layer, of whose annotations one is changed.
func annotated(t *testing.T, change func(a map[string]string)) *rechunktest.Image {
	t.Helper()
	var made layer.Blob
	img := rechunktest.NewImageOf(t, rechunktest.ImageOptions{
		MediaType: ocispec.MediaTypeImageLayerZstd,
		Compress: func(tb testing.TB, parts ...[]byte) []byte {
			var out bytes.Buffer
			var err error
			if made, err = layer.Compress(tb.Context(), &out, bytes.NewReader(parts[0]), layer.Chunked); err != nil {
				tb.Fatal(err)
			}
			return out.Bytes()
		},
	}, Tar(t, Dir("."), File("a", "a"), File("b", "bb")))
	change(made.Annotations)
	var m ocispec.Manifest
	if err := json.Unmarshal(img.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	m.Layers[0].Annotations = made.Annotations
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	img.Manifest, img.Digest = raw, digest.FromBytes(raw)
	return img
}

// A table that says something else than its layer is a difference.
func TestTables(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	for name, c := range map[string]struct {
		change func(a map[string]string)
		want   int
	}{
		"right":       {func(map[string]string) {}, 0},
		"none":        {func(a map[string]string) { delete(a, toc.AnnotationChecksum) }, 0},
		"digest":      {func(a map[string]string) { a[toc.AnnotationChecksum] = digest.FromString("x").String() }, 1},
		"place":       {func(a map[string]string) { a[toc.AnnotationPosition] = "1:2:3:1" }, 1},
		"no place":    {func(a map[string]string) { delete(a, toc.AnnotationPosition) }, 1},
		"behind":      {func(a map[string]string) { a[toc.AnnotationPosition] = "99999:2:3:1" }, 1},
		"no tarsplit": {func(a map[string]string) { delete(a, toc.AnnotationTarSplit) }, 1},
	} {
		diffs, err := inspect(t, b, annotated(t, c.change)).Tables(t.Context())
		if err != nil || len(diffs) != c.want || len(diffs) > 0 && diffs[0].What != "table" {
			t.Errorf("%s: %v, %v", name, diffs, err)
		}
	}
	plain := inspect(t, b, source(t, []Item{Dir(".")}))
	if diffs, err := plain.Tables(t.Context()); err != nil || len(diffs) > 0 {
		t.Error(diffs, err)
	}
	broken := annotated(t, func(map[string]string) {})
	i := inspect(t, b, broken)
	broken.Fault = func(context.Context, digest.Digest) error { return errFault }
	if _, err := i.Tables(t.Context()); !errors.Is(err, errFault) {
		t.Errorf("of a source that fails: %v", err)
	}
}
