package rechunk_test

import (
	"fmt"
	"testing"

	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// syntheticSystem has n small files in five hundred components.
func syntheticSystem(n int) []Item {
	items := []Item{Dir("."), Dir("usr")}
	for i := range n {
		if i%100 == 0 {
			items = append(items, Dir(fmt.Sprintf("usr/d%d", i/100)))
		}
		body := fmt.Sprintf("file %d: %064d %0*d\n", i, i*7919, 1+i%3000, i)
		items = append(items, File(fmt.Sprintf("usr/d%d/f%d", i/100, i), body).WithXattr("user.component",
			fmt.Sprint("c", i/100%500)))
	}
	return items
}

func BenchmarkRechunk(b *testing.B) {
	const files = 50_000
	base := syntheticSystem(files)
	update := []Item{Dir("."), Dir("usr")}
	for i := 0; i < files; i += 500 {
		update = append(update, File(fmt.Sprintf("usr/d%d/f%d", i/100, i), "new").WithXattr("user.component",
			fmt.Sprint("c", i/100%500)))
	}
	first, second := source(b, base), source(b, base, update)
	var bytes int64
	for _, i := range base {
		bytes += i.Size
	}
	b.Run("first version", func(b *testing.B) {
		b.SetBytes(bytes)
		b.ReportAllocs()
		for b.Loop() {
			newBench(b, &rechunktest.MemoryStore{}, 2).rechunk(b, first, "test", rules)
		}
	})
	b.Run("next version", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			e := newBench(b, &rechunktest.MemoryStore{}, 2)
			e.rechunk(b, first, "test", rules)
			b.StartTimer()
			e.rechunk(b, second, "test", rules)
		}
	})
}
