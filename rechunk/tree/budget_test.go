package tree_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Whatever layers are made of, indexes and tree take no more than the budget together. The test is not parallel: it looks at
// the heap of the whole process.
func TestBudgetOfFlatten(t *testing.T) {
	const most, slack = 16 << 20, 2 << 20
	long := strings.Repeat("l", 200)
	for name, layer := range map[string]func(n int) []Item{
		"files":   func(n int) []Item { return []Item{File(fmt.Sprint("f", n), "")} },
		"again":   func(n int) []Item { return []Item{File(fmt.Sprint("f", n%500), "")} },
		"implied": func(n int) []Item { return []Item{File(fmt.Sprintf("%d/%sf", n%700, strings.Repeat("d/", n%99)), "")} },
		"behind a long symlink": func(n int) []Item {
			if n == 0 {
				return []Item{Symlink("s", long+"/"+long+"/"+long)}
			}
			return []Item{File(fmt.Sprint("s/", n), "")}
		},
		"hardlinks": func(n int) []Item {
			if n == 0 {
				return []Item{File("a", "")}
			}
			return []Item{Hardlink(fmt.Sprint(n), "a")}
		},
	} {
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		budget := tree.NewBudget(tree.Limits{Memory: most})
		var layers []*tree.Index
		var err error
		for n := 0; n < 400; n++ {
			var items []Item
			for i := range 100 {
				items = append(items, layer(n*100+i)...)
			}
			var stored bytes.Buffer
			if _, err = Index(t, items...).WriteTo(&stored); err != nil {
				t.Fatal(err)
			}
			var x *tree.Index
			if x, err = budget.ReadIndex(&stored); err != nil {
				break
			}
			layers = append(layers, x)
		}
		var flat *tree.Tree
		for len(layers) > 0 {
			// As many layers as fit.
			if flat, err = budget.Flatten(t.Context(), layers); err == nil {
				break
			}
			if !errors.Is(err, tree.ErrLimit) {
				t.Fatal(err)
			}
			layers = layers[:len(layers)*9/10]
		}
		got := heap() - before
		runtime.KeepAlive(layers)
		runtime.KeepAlive(flat)
		t.Logf("%s: %d layers take %.1f MiB of %d", name, len(layers), float64(got)/(1<<20), most>>20)
		if got > most+slack || flat == nil {
			t.Errorf("%s: %d bytes, at most %d", name, got, most)
		}
	}
}

// Paths through chains of symlinks are not followed for longer than the number of headers warrants.
func TestFlattenSymlinkChains(t *testing.T) {
	t.Parallel()
	var chain, below []Item
	for i := range 39 {
		chain = append(chain, Symlink(fmt.Sprintf("l%d", i), strings.Repeat("./", 2000)+fmt.Sprintf("l%d", i+1)))
	}
	for i := range 3000 {
		below = append(below, File(fmt.Sprintf("l0/d%d/f", i), ""))
	}
	layers := []*tree.Index{Index(t, append(chain, Dir("l39"))...), Index(t, below...)}
	if _, err := tree.Flatten(t.Context(), layers, tree.Limits{}); !errors.Is(err, tree.ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
	honest := []*tree.Index{Index(t, Symlink("l0", "usr/lib"), Dir("usr/lib")), layers[1]}
	if _, err := tree.Flatten(t.Context(), honest, tree.Limits{}); err != nil {
		t.Errorf("one symlink: %v", err)
	}
}
