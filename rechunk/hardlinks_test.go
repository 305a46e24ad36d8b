package rechunk_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// large is a content that does not compress, worth linking.
func large(seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 200<<10)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

// database is an image whose package database exists twice, as /usr/lib/one/db and /usr/share/two/db, and a kernel in two
// places.
func database(one, two uint64, more ...Item) []Item {
	items := []Item{Dir("."), Dir("usr"), Dir("usr/lib"), Dir("usr/lib/one"), Dir("usr/share"), Dir("usr/share/two"),
		File("usr/lib/one/db", large(one)).WithXattr("user.component", "one"),
		File("usr/share/two/db", large(two)).WithXattr("user.component", "one"),
		File("usr/lib/kernel", large(100)).WithXattr("user.component", "kernel"),
		File("usr/share/kernel", large(100)).WithXattr("user.component", "kernel"),
	}
	return append(items, more...)
}

// linkedTo returns the hardlinks of what is served, "name > first name".
func linkedTo(t *tree.Tree) string {
	var out []string
	for _, e := range t.Entries {
		if e.Link != "" && e.Link != e.Path {
			out = append(out, e.Path+" > "+e.Link)
		}
	}
	return strings.Join(out, ", ")
}

const (
	kernelLinked = "usr/share/kernel > usr/lib/kernel"
	bothLinked   = kernelLinked + ", usr/share/two/db > usr/lib/one/db"
	content      = 200 << 10
)

// From version to version, identical files come and go. What is linked is sent once, and no change of links sends what did
// not change.
func TestSharedFiles(t *testing.T) {
	t.Parallel()
	third := File("usr/lib/third", large(1)).WithXattr("user.component", "one")
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	for n, step := range []struct {
		what  string
		items []Item
		own   bool // hardlinks: preserve
		links string
		sent  float64 // contents
	}{
		{"first", database(1, 1), false, bothLinked, 2},
		{"nothing", database(1, 1), false, bothLinked, 0},
		{"both change", database(2, 2), false, bothLinked, 1},
		{"one changes", database(3, 2), false, kernelLinked, 1},
		{"they are one again", database(2, 2), false, bothLinked, 0}, // built on the image that had them so,
		{"the second changes", database(2, 4), false, kernelLinked, 1},
		{"both go back", database(1, 1), false, bothLinked, 0},
		{"a third one", database(1, 1, third), false, "usr/lib/third > usr/lib/one/db, " + bothLinked, 1},
		{"it goes", database(1, 1), false, bothLinked, 0},
		{"links are turned off", database(1, 1), true, "", 2},
		{"and on", database(1, 1), false, "", 0}, // what was served apart stays so until it changes
		{"the database changes", database(5, 5), false, "usr/share/two/db > usr/lib/one/db", 1},
	} {
		o := rules
		o.OwnLinks = step.own
		img := source(t, append(step.items, File("usr/version", fmt.Sprint(n))))
		v, s := b.serve(t, img, o)
		if got := linkedTo(s.Tree); got != step.links {
			t.Errorf("%s: links %s, want %s", step.what, got, step.links)
		}
		if sent := float64(v.NewBytes) / content; sent < step.sent || sent > step.sent+0.1 {
			t.Errorf("%s: %.2f contents are sent, want %.0f", step.what, sent, step.sent)
		}
		unlinked := reference(t, append(step.items, File("usr/version", fmt.Sprint(n))))
		want, _, err := tree.Share(unlinked, tree.ShareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := tree.Share(s.Tree, tree.ShareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, want, got, false)
	}
}

// The policy in the image keeps apart what clients label differently, and one that cannot be read keeps all apart.
func TestSharedLabels(t *testing.T) {
	t.Parallel()
	policy := func(rules string) []Item {
		return []Item{Dir("etc"), Dir("etc/selinux"), File("etc/selinux/config", "SELINUXTYPE=x\n"), Dir("etc/selinux/x"),
			Dir("etc/selinux/x/contexts"), Dir("etc/selinux/x/contexts/files"),
			File("etc/selinux/x/contexts/files/file_contexts", rules)}
	}
	for name, c := range map[string]struct {
		rules, links string
	}{
		"one label":       {"/usr/.* usr_t\n", bothLinked},
		"several":         {"/usr/.* usr_t\n/usr/lib/one(/.*)? one_t\n", kernelLinked},
		"damaged":         {"/usr/.* usr_t\n/usr/lib/( one_t\n", ""},
		"another's label": {"/usr/.* usr_t\n/usr/lib/one(/.*)? -d one_t\n", bothLinked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			_, s := b.serve(t, source(t, database(1, 1, policy(c.rules)...)), rules)
			if d := cmp.Diff(c.links, linkedTo(s.Tree)); d != "" {
				t.Error(d)
			}
			if warned := b.log.Has("identical files are not linked"); warned != (c.links == "") {
				t.Errorf("warned: %t", warned)
			}
			// The next time the layer is known by its index, which has the policy.
			img := source(t, database(1, 1, policy(c.rules)...), []Item{File("usr/new", "new")})
			_, s = b.serve(t, img, rules)
			if d := cmp.Diff(c.links, linkedTo(s.Tree)); d != "" {
				t.Error(d)
			}
			if reads := img.Reads(img.Layers[0]); reads != 0 {
				t.Errorf("the layer is read %d times", reads)
			}
		})
	}
}

func TestSharedTimesAndKinds(t *testing.T) {
	t.Parallel()
	items := database(1, 1)
	items[7] = items[7].WithTime(stamp)
	exact := rules
	exact.ExactTime = true
	always := rules
	always.Always = true
	ordinary := rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: map[string]string{"x": "y"}}, items)
	for name, c := range map[string]struct {
		img   *rechunktest.Image
		o     rechunk.Options
		links string
	}{
		"keep": {source(t, items), rules, kernelLinked}, "same times": {source(t, database(1, 1)), rules, bothLinked},
		"exact times": {source(t, items), exact, kernelLinked}, "not bootable": {ordinary, always, ""},
	} {
		b := newBench(t, &rechunktest.MemoryStore{}, 2)
		_, s := b.serve(t, c.img, c.o)
		if d := cmp.Diff(c.links, linkedTo(s.Tree)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if c.o.ExactTime {
			want := reference(t, items)
			want, _, err := tree.Share(want, tree.ShareOptions{Times: true})
			if err != nil {
				t.Fatal(err)
			}
			same(t, want, s.Tree, true)
		}
	}
}

// Differences does not see what Strata links, and sees everything else.
func TestDifferences(t *testing.T) {
	t.Parallel()
	linked := database(1, 1)
	linked[7], linked[9] = Hardlink("usr/share/two/db", "usr/lib/one/db"), Hardlink("usr/share/kernel", "usr/lib/kernel")
	bodies := func(n int) []Item {
		return []Item{Dir("."), Dir("etc"), File("etc/a", large(1)), File("etc/b", large(uint64(n)))}
	}
	etcLinked := bodies(1)
	etcLinked[3] = Hardlink("etc/b", "etc/a")
	small := []Item{Dir("."), Dir("usr"), File("usr/a", "x"), File("usr/b", "x")}
	smallLinked := []Item{Dir("."), Dir("usr"), File("usr/a", "x"), Hardlink("usr/b", "usr/a")}
	ordinary := rechunktest.ImageOptions{Labels: map[string]string{"x": "y"}}
	for name, c := range map[string]struct {
		a, b []Item
		o    rechunktest.ImageOptions
		want string
	}{
		"linked":              {a: database(1, 1), b: linked},
		"apart":               {a: linked, b: database(1, 1)},
		"not bootable":        {a: database(1, 1), b: linked, o: ordinary, want: "usr/lib/kernel hardlinks"},
		"content":             {a: linked, b: database(1, 2), want: "usr/share/two/db content"},
		"linked, other bytes": {a: database(1, 2), b: linked, want: "usr/share/two/db content"},
		"in etc":              {a: bodies(1), b: etcLinked, want: "etc/a hardlinks"},
		"small":               {a: small, b: smallLinked, want: "usr/a hardlinks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			var in [2]*rechunk.Inspection
			for i, items := range [][]Item{c.a, c.b} {
				x, err := b.Inspect(t.Context(), rechunktest.NewImage(t, c.o, items).Request("x", rules))
				if err != nil {
					t.Fatal(err)
				}
				defer x.Close()
				in[i] = x
			}
			got := ""
			for _, d := range compare.Differences(in[0], in[1], tree.DiffOptions{}) {
				if got == "" || d.What == "content" {
					got = d.Path + " " + d.What
				}
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
