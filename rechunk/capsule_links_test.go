package rechunk_test

import (
	"archive/tar"
	"fmt"
	"testing"

	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Filesystems link no file as often as they like (ext4: 65,000): whoever unpacks an image's layers must not have to, and
// hosts on ostree have all names all the same.
func TestOSTreeFormManyNames(t *testing.T) {
	t.Parallel()
	names := 66_000
	if testing.Short() {
		names = tree.ShareMost + 2
	}
	items := []Item{Dir("."), Dir("sysroot"), Dir("usr"), Dir("var")}
	for n := range names {
		items = append(items, File(fmt.Sprintf("usr/%06d", n), "same"))
	}
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	b.serve(t, source(t, items), encapsulated())
	v, s := b.serve(t, source(t, append(items, File("var/more", "m"))), encapsulated())
	if v.LayersNew > 2 {
		t.Errorf("%d layers are new: the commit and one more are", v.LayersNew)
	}
	for _, l := range s.Layers {
		links := map[string]int{}
		for _, i := range l {
			if i.Typeflag == tar.TypeLink {
				links[i.Linkname]++
			}
		}
		for to, n := range links {
			if n > tree.ShareMost {
				t.Errorf("%d links to %s in one layer", n, to)
			}
		}
	}
	host := newImporter(t)
	commit := s.Config.Config.Labels["ostree.commit"]
	host.pull(b, v, commit)
	host.run("fsck")
	host.run("checkout", "-U", commit, t.TempDir()+"/deployed") // where links end, ostree copies
}
