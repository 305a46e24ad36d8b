package compare_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// examplePair takes two versions of an image apart.
func examplePair() (old, next *rechunk.Inspection, done func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	store := &rechunktest.MemoryStore{}
	engine := rechunk.New(rechunk.Config{Store: store, Records: store, WorkDir: dir})
	inspect := func(layers ...[]Item) *rechunk.Inspection {
		img := rechunktest.NewImage(&testing.T{}, rechunktest.ImageOptions{}, layers...)
		in, err := engine.Inspect(context.Background(), img.Request("", rechunk.Options{}))
		if err != nil {
			panic(err)
		}
		return in
	}
	base := []Item{Dir("."), File("a", "one"), File("b", "b")}
	old, next = inspect(base), inspect(base, []Item{File("a", "two")})
	return old, next, func() {
		_ = old.Close()
		_ = next.Close()
		_ = os.RemoveAll(dir)
	}
}

// What an update costs, against the least that layers can do: the changed files in one layer.
func ExampleUpdate() {
	old, next, done := examplePair()
	defer done()
	c, err := compare.Update(context.Background(), old, next, layer.Zstd)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d of %d layers, %d file changed\n", c.LayersToFetch, c.LayersTotal, c.FilesChanged)
	for _, p := range c.Components {
		fmt.Printf("%s: %s\n", p.Component, p.Why)
	}
	// Output:
	// 1 of 2 layers, 1 file changed
	// rest: changed
}

// How two filesystems differ.
func ExampleDifferences() {
	old, next, done := examplePair()
	defer done()
	for _, d := range compare.Differences(old, next, tree.DiffOptions{}) {
		fmt.Println(d.Path, d.What)
	}
	// Output: a content
}
