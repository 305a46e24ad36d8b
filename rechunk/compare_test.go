package rechunk_test

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

func inspect(tb testing.TB, b *bench, img *rechunktest.Image) *rechunk.Inspection {
	tb.Helper()
	i, err := b.Inspect(tb.Context(), img.Request("", rechunk.Options{}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := i.Close(); err != nil {
			tb.Error(err)
		}
	})
	return i
}

func TestCompare(t *testing.T) {
	t.Parallel()
	owned := func(name, component, body string) Item {
		return File(name, body).WithXattr("user.component", component)
	}
	base := []Item{
		Dir("."), Dir("d"), owned("a", "A", "one"), owned("b", "B", strings.Repeat("b", 2000)), File("d/x", "x"), File("d/y", "y"),
		File("l1", "linked"), Hardlink("l2", "l1"), Hardlink("l3", "l1"),
	}
	type counts struct {
		fetch, changed, removed int
		components              map[string]int // files changed
	}
	cases := map[string]struct {
		next [][]Item
		want counts
		none bool // an update that costs nothing
	}{
		"the same image":    {[][]Item{base}, counts{}, true},
		"times":             {[][]Item{base, {File("d/x", "x").WithTime(stamp)}}, counts{fetch: 1, components: map[string]int{"rest": 0}}, false},
		"a file changes":    {[][]Item{base, {owned("a", "A", "two")}}, counts{1, 1, 0, map[string]int{"custom/A": 1}}, false},
		"a file comes":      {[][]Item{base, {owned("c", "C", "new")}}, counts{1, 1, 0, map[string]int{"custom/C": 1}}, false},
		"a file goes":       {[][]Item{base, {Whiteout("a")}}, counts{1, 0, 1, nil}, false},
		"a directory goes":  {[][]Item{base, {Whiteout("d")}}, counts{1, 0, 2, nil}, false},
		"a directory turns": {[][]Item{base, {File("d", "")}}, counts{1, 1, 2, map[string]int{"rest": 1}}, false},
		"a header changes":  {[][]Item{base, {Dir("d").WithMode(0o700)}}, counts{1, 0, 0, nil}, false},
		"a link goes":       {[][]Item{base, {Whiteout("l1")}}, counts{1, 0, 1, nil}, false},
		"a link comes":      {[][]Item{base, {Hardlink("l4", "l1")}}, counts{1, 4, 0, map[string]int{"rest": 4}}, false},
		"a link is cut":     {[][]Item{base, {File("l3", "linked")}}, counts{1, 1, 0, map[string]int{"rest": 1}}, false},
		"other layers only": {[][]Item{base[:4], base[4:]}, counts{2, 0, 0, map[string]int{"custom/A": 0, "custom/B": 0, "rest": 0}}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			out, err := rechunk.Compare(t.Context(), inspect(t, b, source(t, base)), inspect(t, b, source(t, c.next...)), layer.Zstd)
			if err != nil {
				t.Fatal(err)
			}
			got := counts{out.LayersToFetch, out.FilesChanged, out.FilesRemoved, map[string]int{}}
			var shares int64
			for _, p := range out.Components {
				got.components[p.Component] = p.FilesChanged
				shares += p.UpdateBytes
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(counts{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if none := out.UpdateBytes == 0 && out.FloorBytes == 0 && out.Ratio == 0; none != c.none {
				t.Errorf("%+v", out)
			}
			if shares > out.UpdateBytes || out.LayersTotal != len(c.next) {
				t.Errorf("components have %d bytes of %d; %d layers", shares, out.UpdateBytes, out.LayersTotal)
			}
			if out.FloorBytes > 0 && out.Ratio != float64(out.UpdateBytes)/float64(out.FloorBytes) {
				t.Errorf("%d / %d is not %f", out.UpdateBytes, out.FloorBytes, out.Ratio)
			}
		})
	}
}

// An inspection shows the filesystem that clients get, and gives the bytes of its files.
func TestInspect(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	layers := [][]Item{{Dir("."), Dir("sysroot"), File("sysroot/x", "x"), File("a", "old"), File("b", "b")}, {File("a", "new"), Whiteout("b")}}
	for range 2 { // from the layers, then from their indexes
		i := inspect(t, b, source(t, layers...))
		same(t, reference(t, []Item{Dir("."), Dir("sysroot"), File("a", "new")}), i.Tree, true)
		if len(i.Layers) != 2 || len(i.Owners.Of) != len(i.Tree.Entries) || i.Image.Config.OS != "linux" {
			t.Errorf("%d layers, owners of %d entries, for %s", len(i.Layers), len(i.Owners.Of), i.Image.Config.OS)
		}
		r, err := i.Contents().Open(i.Tree.Lookup("a").Digest)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(r); err != nil || string(body) != "new" {
			t.Errorf("%q, %v", body, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	// What is not bootable is inspected, too, and its /sysroot is its own.
	other := rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: map[string]string{"a": "b"}}, layers...)
	if inspect(t, b, other).Tree.Lookup("sysroot/x") == nil {
		t.Error("/sysroot of an image that is not bootable was emptied")
	}
}

func TestInspectLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	img := rechunktest.NewImageOf(t, rechunktest.ImageOptions{}, []byte(strings.Repeat("no archive", 100)))
	if _, err := b.Inspect(t.Context(), img.Request("", rechunk.Options{})); err == nil {
		t.Error("no error")
	}
	if open := openFiles(t, b.work); len(open) > 0 {
		t.Errorf("open files: %v", open)
	}
}
