package plan

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// bigTree has the given numbers of entries and components; generation changes the content of every seventh component's
// programs and of a tenth of its data.
func bigTree(entries, components, generation int) (*tree.Tree, *pkgdb.Owners) {
	var all []tree.Entry
	for i := range entries {
		c := i % components
		g := 0
		if c%7 == generation%7 && (i/components%2 == 0 || i%10 == generation%10) {
			g = generation
		}
		kind := "so"
		if i/components%2 == 1 {
			kind = "dat"
		}
		p := fmt.Sprintf("usr/%04d/d%d/f%06d.%s", c, i/components/10, i, kind)
		all = append(all, sized(p, fmt.Sprint(i, g), int64(i%97)<<10))
	}
	t := build(all...)
	o := &pkgdb.Owners{Of: make([]int32, len(t.Entries))}
	for c := range components {
		o.Components = append(o.Components, pkgdb.Component{ID: fmt.Sprintf("rpm/%04d", c), Kind: pkgdb.Package})
	}
	for i, e := range t.Entries {
		var c int32
		if n, err := fmt.Sscanf(e.Path, "usr/%04d", &c); n == 1 && err == nil {
			o.Of[i] = c
		}
	}
	return t, o
}

func BenchmarkMake(b *testing.B) {
	limits := Limits{MaxLayers: 64, MaxStale: 0.1}
	var lineage []Image
	var h *History
	for g := range 8 {
		t, o := bigTree(100_000, 2000, g)
		in := Input{Tree: t, Owners: o, Lineage: lineage, Limits: limits, History: h}
		l, err := Make(in)
		if err != nil {
			b.Fatal(err)
		}
		lineage = append([]Image{served(b, in, l)}, lineage...)
		h = l.History
	}
	for n := range 500 { // as long as it gets
		for i := range h.tracks {
			h.tracks[i].seen.push(true)
			h.tracks[i].changed.push((i+n)%7 == 0)
		}
		h.steps++
	}
	t, o := bigTree(100_000, 2000, 8)
	b.Run("first", func(b *testing.B) { benchmark(b, Input{Tree: t, Owners: o, Limits: limits}) })
	b.Run("next", func(b *testing.B) {
		benchmark(b, Input{Tree: t, Owners: o, Limits: limits, Lineage: lineage, History: h})
	})
	b.Run("next, history lost", func(b *testing.B) {
		benchmark(b,
			Input{Tree: t, Owners: o, Limits: limits, Lineage: lineage})
	})
}

func benchmark(b *testing.B, in Input) {
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		l, err := Make(in)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(l.Layers)), "layers")
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
}

// cpuTime is what the process has used, which says more than the clock on a busy machine.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
