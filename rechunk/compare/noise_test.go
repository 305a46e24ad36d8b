package compare_test

import (
	"bytes"
	"compress/gzip"
	"testing"
	"time"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// notes are compressed at a time.
func notes(text string, at int64) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.ModTime = time.Unix(at, 0)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// TestWithNoise tells noise from other differences, of images that say that they keep it.
func TestWithNoise(t *testing.T) {
	t.Parallel()
	made := func(annotation string, items ...Item) *rechunk.Inspection {
		o := rechunktest.ImageOptions{Annotations: map[string]string{image.AnnotationNoise: annotation}}
		img := rechunktest.NewImage(t, o, append([]Item{Dir(".")}, items...))
		i, err := engine(t).Inspect(t.Context(), img.Request("", rechunk.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = i.Close() })
		return i
	}
	source := made("", File("a.gz", notes("a", 1)), File("b.gz", notes("b", 1)), File("c", "c"), File("d", "d"))
	like := func(annotation string) *rechunk.Inspection {
		return made(annotation, File("a.gz", notes("a", 2)), File("b.gz", notes("other", 1)), File("c", "x"), File("d", "x"))
	}
	for _, tc := range []struct {
		served              *rechunk.Inspection
		most, told, differs int
	}{
		{like(image.NoiseKept), 0, 1, 3}, {like(image.NoiseKept), 2, 1, 2}, {like("served"), 0, 0, 4}, {like(""), 1, 0, 1},
		{made(image.NoiseKept, File("a.gz", notes("a", 2)), File("b.gz", notes("b", 3)), File("c", "c"), File("d", "d")), 1,
			2, 0},
		{made(image.NoiseKept, File("a.gz", notes("a", 2)).WithMode(0o600), File("b.gz", notes("b", 1)), File("c", "c"),
			File("d", "d")), 0, 0, 2},
	} {
		diffs, told, err := compare.WithNoise(t.Context(), source, tc.served, tree.DiffOptions{Most: tc.most})
		if err != nil || len(told) != tc.told || len(diffs) != tc.differs {
			t.Errorf("%+v, %v, %v, want %d and %d", told, diffs, err, tc.told, tc.differs)
		}
		if len(told) > 0 && (told[0].Path != "a.gz" || told[0].Served == told[0].Source || told[0].What == "") {
			t.Errorf("%+v", told)
		}
	}
}
