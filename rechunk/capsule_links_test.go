package rechunk_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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
	b.rechunk(t, source(t, items), "test", encapsulated())
	r := b.rechunk(t, source(t, append(items, File("var/more", "m"))), "test", encapsulated())
	if r.LayersNew > 2 {
		t.Errorf("%d layers are new: the commit and one more are", r.LayersNew)
	}
	v := b.version(t, "test", r)
	for _, l := range v.Layers {
		for to, n := range b.links(t, l.Digest) {
			if n > tree.ShareMost {
				t.Errorf("%d links to %s in one layer", n, to)
			}
		}
	}
	raw, _ := b.store.Blob(v.Config)
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	commit := config.Config.Labels["ostree.commit"]
	host := newImporter(t)
	host.pull(b, v, commit)
	host.run("fsck")
	host.run("checkout", "-U", commit, t.TempDir()+"/deployed") // where links end, ostree copies
}

// links counts the links in a layer by what they lead to.
func (b *bench) links(tb testing.TB, d digest.Digest) map[string]int {
	tb.Helper()
	out := map[string]int{}
	r := tar.NewReader(bytes.NewReader(b.plain(tb, d)))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag == tar.TypeLink {
			out[h.Linkname]++
		}
	}
}
