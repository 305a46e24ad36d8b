package compare_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

var stamp = time.Unix(1_600_000_000, 0)

func source(tb testing.TB, layers ...[]Item) *rechunktest.Image {
	tb.Helper()
	return rechunktest.NewImage(tb, rechunktest.ImageOptions{}, layers...)
}

func engine(tb testing.TB) *rechunk.Engine {
	tb.Helper()
	store := &rechunktest.MemoryStore{}
	return rechunk.New(rechunk.Config{Store: store, Records: store, WorkDir: tb.TempDir()})
}

func inspect(tb testing.TB, e *rechunk.Engine, layers ...[]Item) *rechunk.Inspection {
	tb.Helper()
	i, err := e.Inspect(tb.Context(), source(tb, layers...).Request("", rechunk.Options{}))
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

func TestUpdate(t *testing.T) {
	t.Parallel()
	owned := func(name, component, body string) Item {
		return File(name, body).WithXattr("user.component", component)
	}
	base := []Item{
		Dir("."), Dir("d"), owned("a", "A", "one"), owned("b", "B", strings.Repeat("b", 2000)), File("d/x", "x"),
		File("d/y", "y"),
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
		"the same image": {[][]Item{base}, counts{}, true},
		"times": {[][]Item{base, {File("d/x", "x").WithTime(stamp)}},
			counts{fetch: 1, components: map[string]int{"rest": 0}}, false},
		"a file changes": {[][]Item{base, {owned("a", "A", "two")}}, counts{1, 1, 0, map[string]int{"custom/A": 1}},
			false},
		"a file comes": {[][]Item{base, {owned("c", "C", "new")}}, counts{1, 1, 0, map[string]int{"custom/C": 1}},
			false},
		"a file goes":       {[][]Item{base, {Whiteout("a")}}, counts{1, 0, 1, nil}, false},
		"a directory goes":  {[][]Item{base, {Whiteout("d")}}, counts{1, 0, 2, nil}, false},
		"a directory turns": {[][]Item{base, {File("d", "")}}, counts{1, 1, 2, map[string]int{"rest": 1}}, false},
		"a header changes":  {[][]Item{base, {Dir("d").WithMode(0o700)}}, counts{1, 0, 0, nil}, false},
		"a link goes":       {[][]Item{base, {Whiteout("l1")}}, counts{1, 0, 1, nil}, false},
		"a link comes":      {[][]Item{base, {Hardlink("l4", "l1")}}, counts{1, 4, 0, map[string]int{"rest": 4}}, false},
		"a link is cut":     {[][]Item{base, {File("l3", "linked")}}, counts{1, 1, 0, map[string]int{"rest": 1}}, false},
		"other layers only": {[][]Item{base[:4], base[4:]},
			counts{2, 0, 0, map[string]int{"custom/A": 0, "custom/B": 0, "rest": 0}}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engine(t)
			out, err := compare.Update(t.Context(), inspect(t, e, base), inspect(t, e, c.next...), layer.Zstd)
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

// A component's part of the floor is told by what it compresses to, not by its size; names of one file count once.
func TestFloorOfComponents(t *testing.T) {
	t.Parallel()
	owned := func(name, component string, body []byte) Item {
		return File(name, string(body)).WithXattr("user.component", component)
	}
	noise := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise) // which never fails
	next := []Item{Dir("."), owned("noise", "noise", noise), Hardlink("noise2", "noise"),
		owned("zeros", "zeros", make([]byte, 1<<20))}
	e := engine(t)
	out, err := compare.Update(t.Context(), inspect(t, e, []Item{Dir(".")}), inspect(t, e, next), layer.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	floor := map[string]int64{}
	for _, p := range out.Components {
		floor[p.Component] = p.FloorBytes
	}
	if floor["custom/noise"] < 1<<20 || floor["custom/zeros"] <= 0 || floor["custom/zeros"] > 8<<10 ||
		floor["custom/noise"]+floor["custom/zeros"] > out.FloorBytes {
		t.Errorf("%v of %d", floor, out.FloorBytes)
	}
}
