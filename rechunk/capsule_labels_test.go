package rechunk_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// contextsFile is where the policy of random systems is.
const contextsFile = "etc/selinux/t/contexts/files/file_contexts"

// ownLabels are files with labels of their own, where a policy may say that there is none.
func ownLabels(policy string) []Item {
	label := func(i Item) Item { return i.WithXattr("security.selinux", "system_u:object_r:own_t:s0\x00") }
	items := []Item{
		label(Dir("usr/own")), label(Dir("usr/own/dir").WithXattr("user.other", "o")), label(File("usr/own/empty", "")),
		label(File("usr/own/file", "own").WithXattr("user.other", "o")), label(Symlink("usr/own/link", "file")),
		label(File("usr/both", "both names")), Hardlink("usr/own/both", "usr/both"),
		label(File("usr/own/same", "both names")), label(Dir("var/own")), label(File("var/own/raw", "r")),
	}
	if policy != "" {
		items = append(items, File(contextsFile, policy))
	}
	return items
}

// servedAgain is an image that was made here as the source of another.
func servedAgain(tb testing.TB, s *rechunktest.Served) *rechunktest.Image {
	tb.Helper()
	return rechunktest.NewImage(tb, rechunktest.ImageOptions{Labels: s.Config.Config.Labels,
		Annotations: s.Manifest.Annotations}, s.Layers...)
}

// An image that is encapsulated, whatever it was made of by way of, is the same commit: no attribute, label, mode or owner
// of random systems is lost on the way from ostree's form to the plain one and back, or when it is encapsulated anew.
func TestOSTreeFormLosesNothing(t *testing.T) {
	t.Parallel()
	policies := map[string]string{
		"labels all": "/.*\tsystem_u:object_r:default_t:s0\n",
		"has exceptions": "/.*\tsystem_u:object_r:default_t:s0\n" +
			"/usr/own(/.*)?\t<<none>>\n/var\t-d\t<<none>>\n/var/own/.*\t<<none>>\n",
		"of one kind":        "/.*\t-l\tsystem_u:object_r:link_t:s0\n/usr/.*\t--\tsystem_u:object_r:file_t:s0\n",
		"says nothing":       "/nowhere\tsystem_u:object_r:default_t:s0\n",
		"is not in an image": "",
	}
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := range 2 {
				seed := uint64(900 + n)
				s := &bootableSeries{random: NewRandom(seed), rng: rand.New(rand.NewPCG(seed, 2))}
				items := slices.Concat(s.next(t), []Item{Dir("var")}, ownLabels(policy))
				if policy == "" {
					items = slices.DeleteFunc(items, func(i Item) bool {
						return i.Name == "etc/selinux/config" ||
							i.Linkname == "etc/selinux/config"
					})
				}
				made := func(img *rechunktest.Image, o rechunk.Options) (*rechunktest.Served, string) {
					_, s := newBench(t, &rechunktest.MemoryStore{}, 2).serve(t, img, o)
					return s, s.Config.Config.Labels["ostree.commit"]
				}
				first, want := made(source(t, items), encapsulated())
				for way, through := range map[string][]rechunk.Options{
					"directly": {encapsulated()}, "plain": {rules, encapsulated()},
					"twice": {rules, rules, encapsulated(), rules, encapsulated()},
				} {
					last, commit := first, want
					for _, o := range through {
						last, commit = made(servedAgain(t, last), o)
					}
					if commit != want {
						t.Errorf("seed %d, %s: commit %s, at first %s", n, way, commit, want)
					}
				}
			}
		})
	}
}

// Labels that the policy gives are in no plain image, those that it does not give are, and verify reads them.
func TestOwnLabelsAreServed(t *testing.T) {
	t.Parallel()
	items := slices.Concat([]Item{
		Dir("."), Dir("usr"), Dir("var"), Dir("etc"), Dir("etc/selinux"), Dir("etc/selinux/t"), Dir("sysroot"),
		Dir("etc/selinux/t/contexts"), Dir("etc/selinux/t/contexts/files"),
		File("etc/selinux/config", "SELINUXTYPE=t\n"),
	}, ownLabels("/.*\tsystem_u:object_r:default_t:s0\n/usr/own(/.*)?\t<<none>>\n"))
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	_, first := b.serve(t, source(t, items), encapsulated())
	_, plain := newBench(t, &rechunktest.MemoryStore{}, 2).serve(t, servedAgain(t, first), rules)
	for p, want := range map[string]bool{
		"usr": false, "usr/own": true, "usr/own/dir": true, "usr/own/empty": true, "usr/own/file": true,
		"usr/own/link": true,
		"usr/own/both": true, "usr/both": false, "var/own": false, "var/own/raw": false, "etc/selinux/config": false,
	} {
		if l, ok := plain.Tree.Lookup(p).Xattr("security.selinux"); ok != want {
			t.Errorf("%s has the label %q", p, l)
		}
	}
}
