package rechunk_test

import (
	"context"
	"io"
	"strconv"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
)

// noted is a format of its own: zstd whose descriptors carry an annotation, as zstd:chunked's do.
type noted struct{ layer.Compressed }

const tarSizeNote = "test.tar-size"

func (n noted) Spec() layer.Spec {
	s := n.Compressed.Spec()
	s.Name, s.Encoder.Settings = "noted", "noted "+s.Encoder.Settings
	return s
}

func (n noted) NewWriter() (layer.Writer, error) {
	w, err := n.Compressed.NewWriter()
	return notedWriter{w}, err
}

type notedWriter struct{ layer.Writer }

func (w notedWriter) Write(ctx context.Context, dst io.Writer, l *layer.List) (layer.Blob, error) {
	b, err := w.Writer.Write(ctx, dst, l)
	b.Annotations = map[string]string{tarSizeNote: strconv.FormatInt(b.TarSize, 10)}
	return b, err
}

// Bytes, media type, annotations and encoder of a layer come from one format, and a layer that is kept keeps them when new
// layers are written in another.
func TestFormatsNeverMix(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	o := rules
	o.Format = noted{layer.Zstd}
	req := source(t, system("1", stamp)).Request("test", o)
	req.Ready = func(d ocispec.Descriptor) {
		if d.Annotations[tarSizeNote] == "" {
			t.Errorf("layer %s is ready without its annotation", d.Digest)
		}
	}
	if _, err := b.Rechunk(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	v, s := b.serve(t, source(t, system("2", stamp)), rules)
	kinds := map[bool]int{}
	for i, l := range v.Layers {
		want, format := "", layer.Format(layer.Zstd)
		if l.Kept {
			want, format = strconv.FormatInt(l.TarSize, 10), o.Format
		}
		kinds[l.Kept]++
		if got := s.Manifest.Layers[i].Annotations[tarSizeNote]; got != want || l.Annotations[tarSizeNote] != want {
			t.Errorf("layer %d, kept %t: annotation %q, recorded %q, want %q", i, l.Kept, got, l.Annotations[tarSizeNote],
				want)
		}
		if l.Encoder != format.Spec().Encoder.String() {
			t.Errorf("layer %d, kept %t: encoder %q", i, l.Kept, l.Encoder)
		}
	}
	if kinds[true] == 0 || kinds[false] == 0 {
		t.Errorf("%d kept and %d new layers", kinds[true], kinds[false])
	}
	p, err := b.PlanOf(t.Context(), v.Digest)
	if err != nil || p.Encoder != layer.Zstd.Spec().Encoder.String() {
		t.Errorf("the plan names %+v, %v", p, err)
	}
}
