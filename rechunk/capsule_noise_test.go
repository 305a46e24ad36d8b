package rechunk_test

import (
	"slices"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
)

// In ostree's form noise is kept, too: the commit has the objects that were served before, and a rebuild costs little more
// than the layer of the commit.
func TestOSTreeFormKeepsNoise(t *testing.T) {
	t.Parallel()
	o := encapsulated()
	o.KeepNoise = true
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	kernel, notes := randomText("kernel"), randomText("notes")
	img := source(t, noisy(1000, kernel, notes))
	first, before := b.serve(t, img, o)
	img = source(t, noisy(1001, kernel, notes))
	second, after := b.serve(t, img, o)
	record, err := b.PlanOf(t.Context(), second.Digest)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, k := range record.NoiseKept {
		kept = append(kept, k.Path)
	}
	if want := []string{"boot/initrd.img", "usr/share/notes/all.gz"}; !slices.Equal(kept, want) {
		t.Errorf("kept are %v, want %v", kept, want)
	}
	if second.Form != rechunk.FormOSTree || second.LayersKept == 0 || second.NewBytes > first.NewBytes/10 {
		t.Errorf("form %q, %d layers kept, %d new bytes after %d", second.Form, second.LayersKept, second.NewBytes,
			first.NewBytes)
	}
	checkTold(t, b, img, second, record.NoiseKept)
	t.Run("host", func(t *testing.T) {
		host := newImporter(t)
		commits := []string{before.Config.Config.Labels["ostree.commit"], after.Config.Config.Labels["ostree.commit"]}
		host.pull(b, first, commits[0])
		host.pull(b, second, commits[1])
		host.run("fsck")
		for path, same := range map[string]bool{"/boot/initrd.img": true, "/usr/share/notes/all.gz": true,
			"/usr/share/notes/built": false} {
			old, now := host.run("ls", "-C", commits[0], path), host.run("ls", "-C", commits[1], path)
			if (old == now) != same {
				t.Errorf("objects of %s: %s, %s", path, old, now)
			}
		}
	})
}
