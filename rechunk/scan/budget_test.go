package scan_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// What many layers take is summed: each fits, all together do not, and the error says what there is too much of.
func TestBudgetOfLayers(t *testing.T) {
	t.Parallel()
	xattr := strings.Repeat("v", 500)
	for name, c := range map[string]struct {
		lim   tree.Limits
		layer func(n int) []Item
		want  string
	}{
		"headers": {tree.Limits{Entries: 50},
			func(n int) []Item { return []Item{File(fmt.Sprint(n), ""), Dir("d"), Whiteout("x")} }, "headers"},
		"names": {tree.Limits{MetaBytes: 3000},
			func(n int) []Item { return []Item{File(strings.Repeat("n", 90)+fmt.Sprint(n), "")} }, "names and attributes"},
		"attributes": {tree.Limits{MetaBytes: 9000},
			func(int) []Item { return []Item{File("a", "").WithXattr("user.a", xattr)} }, "names and attributes"},
		"memory": {tree.Limits{Memory: 10_000}, func(n int) []Item { return []Item{File(fmt.Sprint(n), "")} }, "memory"},
		"bytes": {tree.Limits{ImageBytes: 1 << 20},
			func(n int) []Item { return []Item{File(fmt.Sprint(n), strings.Repeat("x", 20<<10))} }, "uncompressed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, into := range map[string]func(b *tree.Budget, blob []byte, x *tree.Index) error{
				"scanned": func(b *tree.Budget, blob []byte, _ *tree.Index) error {
					_, err := scan.Layer(t.Context(), bytes.NewReader(blob), scan.Options{Budget: b})
					return err
				},
				"stored": func(b *tree.Budget, _ []byte, x *tree.Index) error {
					var stored bytes.Buffer
					if _, err := x.WriteTo(&stored); err != nil {
						return err
					}
					_, err := b.ReadIndex(&stored)
					return err
				},
			} {
				if name == "bytes" && how == "stored" {
					continue // the bytes of a layer that is not read
				}
				budget, err := tree.NewBudget(c.lim), error(nil)
				n := 0
				for ; n < 100 && err == nil; n++ {
					items := c.layer(n)
					err = into(budget, Tar(t, items...), Index(t, items...))
				}
				if !errors.Is(err, tree.ErrLimit) || !strings.Contains(err.Error(), c.want) || n < 4 {
					t.Errorf("%s, layer %d: %v", how, n, err)
				}
			}
		})
	}
}

// Inline contents of all layers have one bound, and what is beyond it is left out, not refused.
func TestBudgetOfInlineContents(t *testing.T) {
	t.Parallel()
	budget := tree.NewBudget(tree.Limits{InlineBytes: 2500})
	carried := 0
	for n := range 5 {
		s, err := scan.Layer(t.Context(), bytes.NewReader(Tar(t, File("db", strings.Repeat(fmt.Sprint(n), 1000)))),
			scan.Options{
				Budget: budget, Inline: func(string) bool { return true },
			})
		if err != nil {
			t.Fatal(err)
		}
		carried += len(s.Index.Inline)
	}
	if carried != 2 {
		t.Errorf("%d contents are carried, want the 2 that fit", carried)
	}
}

// headers writes an endless layer, and looks at the heap while it goes.
type headers struct {
	item  func(n int) Item
	look  func()
	n     int
	buf   bytes.Buffer
	every int
}

func (h *headers) Read(p []byte) (int, error) {
	for h.buf.Len() == 0 {
		if h.n++; h.n%h.every == 0 {
			h.look()
		}
		if h.n > 3_000_000 {
			return 0, errors.New("no limit in sight")
		}
		i := h.item(h.n)
		i.Format = tar.FormatPAX
		if err := tar.NewWriter(&h.buf).WriteHeader(&i.Header); err != nil {
			return 0, err
		}
	}
	return h.buf.Read(p)
}

// Whatever a layer is made of, its budget of memory is what it takes at most. The test is not parallel: it looks at the heap
// of the whole process.
func TestBudgetOfMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory, which the race detector takes more of")
	}
	const most, slack = 24 << 20, 5 << 20 // buffers, and how maps grow
	deep := strings.Repeat("d/", 200)
	for name, item := range map[string]func(n int) Item{
		"files":       func(n int) Item { return File(fmt.Sprint(n), "") },
		"long names":  func(n int) Item { return File(strings.Repeat("n", 200)+fmt.Sprint(n), "") },
		"implied":     func(n int) Item { return File(fmt.Sprintf("%d/%sf", n, deep), "") },
		"directories": func(n int) Item { return Dir(fmt.Sprint(n, "/d")) },
		"hardlinks":   func(n int) Item { return Hardlink(fmt.Sprint(n), "lower") },
		"symlinks":    func(n int) Item { return Symlink(fmt.Sprint(n), strings.Repeat("t", 90)) },
		"whiteouts":   func(n int) Item { return Whiteout(fmt.Sprint(n)) },
		"opaque":      func(n int) Item { return Opaque(fmt.Sprint(n)) },
		"attributes": func(n int) Item {
			return File("a", "").WithXattr("user.a",
				strings.Repeat("v", 1000)+fmt.Sprint(n))
		},
		"small attributes": func(n int) Item { return File(fmt.Sprint(n), "").WithXattr(fmt.Sprint("user.", n), "") },
	} {
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, peak := heap(), uint64(0)
		src := &headers{item: item, every: 4000, look: func() { peak = max(peak, heap()) }}
		if name == "implied" {
			src.every = 20
		}
		_, err := scan.Layer(t.Context(), src, scan.Options{Limits: tree.Limits{Memory: most}})
		if !errors.Is(err, tree.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %d headers take %.1f MiB of %d", name, src.n, float64(peak-min(peak, before))/(1<<20), most>>20)
		if peak > before+most+slack {
			t.Errorf("%s: %d bytes, at most %d", name, peak-before, most)
		}
	}
}

// Equal attributes of many files and layers are there once.
func TestEqualAttributesAreShared(t *testing.T) {
	t.Parallel()
	budget := tree.NewBudget(tree.Limits{})
	var lists [][]tree.Xattr
	for range 2 {
		s, err := scan.Layer(t.Context(),
			bytes.NewReader(Tar(t, File("a", "").WithXattr("user.a", "1"), File("b", "").WithXattr("user.a", "1"))),
			scan.Options{Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		var stored bytes.Buffer
		if _, err := s.Index.WriteTo(&stored); err != nil {
			t.Fatal(err)
		}
		x, err := budget.ReadIndex(io.Reader(&stored))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range append(s.Index.Entries, x.Entries...) {
			lists = append(lists, e.Xattrs)
		}
	}
	for _, l := range lists {
		if &l[0] != &lists[0][0] {
			t.Error("equal attributes are copied")
		}
	}
}
