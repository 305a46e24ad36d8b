package rechunk_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// composefsID stands for what composefs names an image by: all that it looks at, times and links included.
func composefsID(t *tree.Tree) string {
	var out []string
	for _, e := range t.Entries {
		if e.Path == "." || strings.HasPrefix(e.Path, "boot/") {
			continue
		}
		if e.Path == "boot" {
			e.Sec, e.Nsec = 0, 0
		}
		capability, _ := e.Xattr("security.capability")
		out = append(out, fmt.Sprint(e.Path, e.Kind, e.Mode, e.UID, e.GID, e.Target, e.Sec, e.Nsec, e.Digest, e.Link,
			capability))
	}
	return strings.Join(out, "\n")
}

// restamped lists the paths whose times two images have apart.
func restamped(a, b *rechunktest.Served) []string {
	var out []string
	tree.Common(a.Tree.Entries, b.Tree.Entries, func(x, y *tree.Entry, _ int) {
		if !x.SameTime(y) {
			out = append(out, x.Path)
		}
	})
	return out
}

// Of rebuilds in which nothing but times changed, each is another filesystem to composefs by the time of one small file, and
// costs no more than that.
func TestRebuildsAreTold(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef", 5000)
	for name, c := range map[string]struct {
		items []Item
		want  []string // what has another time than the version before
	}{
		"the smallest file": {[]Item{File("usr/large", big), File("usr/b", "1"), File("usr/a", "1"), File("usr/c", "12")},
			[]string{"usr/a"}},
		"no source of Python": {[]Item{File("usr/a.py", ""), File("usr/b", "12")}, []string{"usr/b"}},
		"a link":              {[]Item{Symlink("usr/l", "x")}, []string{"usr/l"}},
		"an empty directory":  {[]Item{Dir("usr/e")}, []string{"usr/e"}},
		"in usr before etc":   {[]Item{Dir("etc"), File("etc/a", ""), File("usr/b", "12")}, []string{"usr/b"}},
		"in etc":              {[]Item{Dir("etc"), File("etc/conf", ""), File("usr/fixed", "")}, []string{"etc/conf"}},
		"all names":           {[]Item{File("usr/a", "x"), Hardlink("usr/b", "usr/a")}, []string{"usr/a", "usr/b"}},
		"large":               {[]Item{File("usr/a", big)}, []string{"usr/a"}},
		"identical files":     {[]Item{File("usr/a", big), File("usr/b", big)}, []string{"usr/a", "usr/b"}},
		"directories alone":   {[]Item{Dir("usr/d"), File("usr/d/fixed", "")}, []string{"usr/d"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			ids := map[string]int{}
			var last *rechunktest.Served
			for n := range 4 {
				items := slices.Concat([]Item{Dir("."), Dir("boot"), Dir("usr")}, c.items)
				for i := range items {
					if !strings.Contains(items[i].Name, "fixed") {
						items[i] = items[i].WithTime(stamp.Add(time.Duration(n) * time.Hour))
					}
				}
				img := source(t, items)
				v, s := b.serve(t, img, rules)
				if n > 0 {
					if d := cmp.Diff(c.want, restamped(last, s)); d != "" {
						t.Errorf("version %d, times (-want +got):\n%s", n, d)
					}
					if v.LayersNew != 1 || v.NewBytes > 1000 {
						t.Errorf("version %d has %d new layers of %d bytes", n, v.LayersNew, v.NewBytes)
					}
				}
				id := composefsID(s.Tree)
				if before, ok := ids[id]; ok {
					t.Errorf("version %d is version %d to composefs", n, before)
				}
				ids[id], last = n, s
			}
		})
	}
}

// Where something else changed that composefs sees, where the source itself has the same times, with mtime: preserve and in
// images that are not for bootc, no time is touched.
func TestNoNeedToTell(t *testing.T) {
	t.Parallel()
	exact, always := rules, rules
	exact.ExactTime, always.Always = true, true
	first := append(system("1", stamp), Dir("boot").WithTime(stamp))
	later := append(system("1", stamp.Add(time.Hour)), Dir("boot").WithTime(stamp))
	for name, c := range map[string]struct {
		next    []Item
		rules   rechunk.Options
		labels  map[string]string
		changed int // times
		kept    bool
	}{
		"a file changed": {next: append(system("2", stamp.Add(time.Hour)), Dir("boot").WithTime(stamp)), rules: rules,
			changed: 1},
		"the same times": {next: first, rules: rules, labels: map[string]string{"containers.bootc": "1", "x": "2"},
			kept: true},
		"exact":         {next: later, rules: exact, changed: len(later) - 1},
		"not for bootc": {next: later, rules: always, labels: map[string]string{"x": "1"}, kept: true},
		// This is a file that composefs does not see.
		"only a file in boot": {next: append(slices.Clone(later), File("boot/x", "2")), rules: rules, changed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			labels := map[string]string{"containers.bootc": "1"}
			if c.labels != nil && c.labels["containers.bootc"] == "" {
				labels = map[string]string{"x": "0"}
			}
			_, before := b.serve(t, rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: labels}, first), c.rules)
			if c.labels != nil {
				labels = c.labels
			}
			v, s := b.serve(t, rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: labels}, c.next), c.rules)
			if got := len(restamped(before, s)); got != c.changed {
				t.Errorf("%d times changed, want %d", got, c.changed)
			}
			if (v.LayersNew == 0) != c.kept {
				t.Errorf("%d new layers", v.LayersNew)
			}
		})
	}
}

// Lineages that were recorded without the filesystems' digests are told apart, too.
func TestRebuildOfAnOldLineage(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	_, first := b.serve(t, source(t, system("1", stamp)), rules)
	key := b.store.Records(rechunk.KindLineage)[0]
	raw, err := b.store.GetRecord(t.Context(), rechunk.KindLineage, key)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`"tree":"[0-9a-f]{64}",`).ReplaceAll(raw, nil)
	if len(old) == len(raw) {
		t.Fatalf("no digest of the filesystem in %s", raw)
	}
	if err := b.store.PutRecord(t.Context(), rechunk.KindLineage, key, old); err != nil {
		t.Fatal(err)
	}
	_, second := b.serve(t, source(t, system("1", stamp.Add(time.Hour))), rules)
	if got := restamped(first, second); len(got) != 1 {
		t.Errorf("times of %v changed", got)
	}
}
