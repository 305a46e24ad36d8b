package rechunk_test

import (
	"io"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk"
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

// An inspection shows the filesystem that clients get, and gives the bytes of its files.
func TestInspect(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	layers := [][]Item{{Dir("."), Dir("sysroot"), File("sysroot/x", "x"), File("a", "old"), File("b", "b")},
		{File("a", "new"), Whiteout("b")}}
	for range 2 { // from the layers, then from their indexes
		i := inspect(t, b, source(t, layers...))
		same(t, reference(t, []Item{Dir("."), Dir("sysroot"), File("a", "new")}), i.Tree, true)
		if len(i.Layers) != 2 || len(i.Owners.Of) != len(i.Tree.Entries) || i.Image.Config.OS != "linux" {
			t.Errorf("%d layers, owners of %d entries, for %s", len(i.Layers), len(i.Owners.Of), i.Image.Config.OS)
		}
		r, err := i.Contents(t.Context()).Open(i.Tree.Lookup("a").Digest)
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
