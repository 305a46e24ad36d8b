package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const day = 86400

// layersOf lists what each layer holds.
func layersOf(bins [][]component) []string {
	var out []string
	for _, b := range bins {
		var names []string
		for _, c := range b {
			names = append(names, c.name)
		}
		out = append(out, strings.Join(names, " "))
	}
	return out
}

// changed gives the times of so many changes, a day apart, the last at now.
func changed(n int, now int64) []int64 {
	var out []int64
	for i := range n {
		out = append(out, now-int64(i)*day)
	}
	return out
}

func TestRPMOSTreeFresh(t *testing.T) {
	t.Parallel()
	const now = 1_700_000_000
	one := func(name string, size int64, changes int) component {
		return component{name: name, size: size, changes: changed(changes, now), always: name == unpackaged ||
			name == initramfs}
	}
	for _, c := range []struct {
		name   string
		layers int
		parts  []component
		want   []string
	}{
		{"fewer components than layers", 4, []component{one("a", 9, 0), one("b", 1, 0)}, []string{"a", "b", ""}},
		{
			// Of eight layers one is for new, one for small, one for what always changes: three of the other five for large.
			// The median is 100 and all deviations but a few are 0, so that all but the hundreds are large or small.
			"classes", 8, []component{
				one("huge", 9000, 1), one("big", 5000, 1), one(initramfs, 4000, 0), one("large", 3000, 1),
				one("spilled", 2000, 30),
				one("m1", 100, 1), one("m2", 100, 1), one("m3", 100, 1), one("m4", 100, 2), one("m5", 100, 2),
				one("m6", 100, 2),
				one("s1", 3, 1), one("s2", 2, 1), one(unpackaged, 1, 0),
			},
			nil,
		},
	} {
		got := layersOf((&rpmOSTree{layers: c.layers}).fresh(c.parts, now))
		if c.want != nil {
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("%s: %s", c.name, d)
			}
			continue
		}
		if len(got) > c.layers {
			t.Errorf("%s: %d layers", c.name, len(got))
		}
		if d := cmp.Diff([]string{initramfs + " " + unpackaged, ""}, got[len(got)-2:]); d != "" {
			t.Errorf("%s: the last layers: %s", c.name, d)
		}
		if d := cmp.Diff([]string{"huge", "big", "large"}, got[:3]); d != "" {
			t.Errorf("%s: the first layers: %s", c.name, d)
		}
		var all []string
		for _, names := range got {
			all = append(all, strings.Fields(names)...)
		}
		if slices.Sort(all); len(slices.Compact(all)) != len(c.parts) {
			t.Errorf("%s: %d of %d components placed once", c.name, len(all), len(c.parts))
		}
	}
}

func TestRPMOSTreeKeeps(t *testing.T) {
	t.Parallel()
	p := &rpmOSTree{layers: 8, prior: [][]string{{"a"}, {"b", "gone"}, {}}}
	got := layersOf(p.keep([]component{{name: "new"}, {name: "b"}, {name: "a"}}))
	if d := cmp.Diff([]string{"a", "b", "new"}, got); d != "" {
		t.Error(d)
	}
}

func TestMergePairs(t *testing.T) {
	t.Parallel()
	bins := func(n int) [][]component {
		var out [][]component
		for i := range n {
			out = append(out, []component{{name: fmt.Sprint(i)}})
		}
		return out
	}
	for _, c := range []struct {
		n, from, room int
		want          string
	}{
		{6, 1, 5, "0|1|4|2 3|5"}, // as there: the merged pair lands behind its neighbour
		{6, 2, 3, "0|5|1 2|3 4"},
		{3, 2, 2, "0|1|2"},
	} {
		got := strings.Join(layersOf(mergePairs(bins(c.n), c.from, c.room)), "|")
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestHHDBeginsWithGroupsAndSmallParts(t *testing.T) {
	t.Parallel()
	h := &hhdRechunk{layers: 6, scale: 1}
	one := func(name string, size int64, w weeks) part {
		return part{component: component{name: name, size: size}, weeks: w, dedicated: name == unpackaged}
	}
	parts := []part{
		one("tiny", 10, 1), one("small", 700_000, 1), one("big", 50_000_000, 1), one("never", 3_000_000, 0),
		one("same", 2_000_000, 1),
		one("other", 4_000_000, 2), one("last", 1_000_000, 4), one(unpackaged, 5, 1),
	}
	bins, left, own := h.begin(parts, 51_000_000)
	var got []string
	for _, b := range bins {
		var names []string
		for _, p := range b.parts {
			names = append(names, p.name)
		}
		got = append(got, strings.Join(names, " "))
	}
	// The largest first, then what adds the least to size times weeks, until the layer is begun.
	want := []string{unpackaged, "tiny", "small", "big same", "other never last"}
	if d := cmp.Diff(want, got); d != "" || own != 1 || len(left) != 0 {
		t.Errorf("%s own %d, left %v", d, own, left)
	}
}

func TestHHDResumes(t *testing.T) {
	t.Parallel()
	h := &hhdRechunk{layers: 4, prior: [][]string{{unpackaged}, {"a", "gone"}, {"b"}}}
	one := func(name string, size int64, w weeks) part {
		return part{component: component{name: name, size: size}, weeks: w, dedicated: name == unpackaged}
	}
	bins, left, own := h.resume([]part{one("a", 10, 1), one("b", 5, 1), one("new", 1, 2), one(unpackaged, 1, 1)})
	if own != 1 || len(left) != 1 || left[0].name != "new" || len(bins) != 4 {
		t.Fatalf("own %d, left %v, %d layers", own, left, len(bins))
	}
	fill(bins[own:], left, 100)
	if n := len(bins[3].parts); n != 1 {
		t.Errorf("the new part is not in the empty layer, which costs least: %v", bins)
	}
}

func TestYearWeeks(t *testing.T) {
	t.Parallel()
	const now = 1_700_000_000 // in week 46
	for _, c := range []struct {
		changes []int64
		want    weeks
	}{
		{[]int64{now}, 1<<54 - 2},
		{[]int64{now, now - 7*day, now - 14*day}, 1<<46 | 1<<45 | 1<<44},
		{[]int64{now, now - 400*day, now - 401*day}, 1 << 46},
	} {
		if got := yearWeeks(&component{changes: c.changes}, now); got != c.want {
			t.Errorf("%v: %b, want %b", c.changes, got, c.want)
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	for pkg, want := range map[string]string{
		"kernel-modules-core": "kernel", "amd-gpu-firmware": "firmware", "linux-firmware-whence": "firmware",
		"glibc-common": "glibc",
		"gnome-shell":  "gnome-shell", "zlib": "", "gcc": "libgcc", "gccgo": "",
	} {
		got := ""
		if g := groupOf(pkg); g != nil {
			got = g.name
		}
		if got != want {
			t.Errorf("%s: group %q, want %q", pkg, got, want)
		}
	}
	if fileGroup("usr/lib/modules/6.1/kernel/fs/ext4.ko.xz") != "kernel" ||
		fileGroup("usr/lib/modules/6.1/modules.dep") != "" {
		t.Error("files of the kernel are not told apart")
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		glob, text string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a*", "a", true}, {"a*", "abc", true}, {"*a", "bca", true},
		{"*a", "bcab", false},
		{"*-firmware*", "x-firmware-y", true}, {"a*b*c", "a/x/b/c", true}, {"a*b*c", "abd", false}, {"*", "", true},
	} {
		if got := matches(c.glob, c.text); got != c.want {
			t.Errorf("%q, %q: %t", c.glob, c.text, got)
		}
	}
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		data                 []float64
		mid, dev, mean, sdev float64
	}{
		{nil, 0, 0, 0, 0}, {[]float64{5}, 5, 0, 5, 0}, {[]float64{1, 9}, 5, 4, 5, 4}, {[]float64{9, 1, 2}, 2, 1, 4, 3.559},
	} {
		mid, dev := median(c.data)
		mean, sdev := spread(c.data)
		if got, want := fmt.Sprintf("%.3f %.3f %.3f %.3f", mid, dev, mean, sdev),
			fmt.Sprintf("%.3f %.3f %.3f %.3f", c.mid, c.dev, c.mean, c.sdev); got != want {
			t.Errorf("%v: %s, want %s", c.data, got, want)
		}
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	old := image{{"a", 10, 9}, {"b", 5, 4}}
	next := image{{"b", 5, 4}, {"c", 7, 6}, {"c", 7, 6}}
	if own, ours := fetch(old, next); own != 7 || ours != 6 {
		t.Errorf("%d, %d", own, ours)
	}
	if own, ours := next.bytes(); own != 12 || ours != 10 {
		t.Errorf("fresh: %d, %d", own, ours)
	}
}
