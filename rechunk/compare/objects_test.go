package compare

import (
	"slices"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// What verify says of an encapsulated image is worked out of its commit and its objects alone, so that a layer which says
// one thing to containers and another to hosts on ostree is found.
func TestObjects(t *testing.T) {
	t.Parallel()
	items := []Item{
		Dir("."), Dir("etc"), Dir("run"), Dir("sysroot"), Dir("usr"), Dir("usr/dir").WithMode(0o2755), File("etc/conf", "c"),
		File("run/x", "x"),
		File("usr/a", "same").WithXattr("user.a", "1"), File("usr/b", "same").WithXattr("user.a", "1"),
		File("usr/empty", ""),
		Symlink("usr/link", "a"), File("usr/suid", "s").WithMode(0o4755).WithOwner(1, 2),
		File("usr/labelled", "l").WithXattr("security.selinux", "system_u:object_r:usr_t:s0"),
	}
	store := &rechunktest.MemoryStore{}
	e := rechunk.New(rechunk.Config{Store: store, Records: store, WorkDir: t.TempDir()})
	source := rechunktest.NewImage(t, rechunktest.ImageOptions{}, items)
	r, err := e.Rechunk(t.Context(), source.Request("test", rechunk.Options{
		MaxLayers: 8, MaxStale: 1, Format: layer.Zstd, Versions: 2, OSTree: true,
	}))
	if err != nil {
		t.Fatal(err)
	}
	versions, err := e.LineageOf(t.Context(), "test", r.Platform)
	if err != nil {
		t.Fatal(err)
	}
	served, err := rechunktest.Check(store, versions[0])
	if err != nil {
		t.Fatal(err)
	}
	labels := served.Config.Config.Labels
	labels["ostree.final-diffid"] = ""
	want := inspect(t, map[string]string{"containers.bootc": "1"}, items)
	made := rechunktest.ImageOptions{Labels: labels, Annotations: map[string]string{image.AnnotationSource: "sha256:1"}}
	for name, c := range map[string]struct {
		edit func(i *Item) bool // whether the item stays
		what string             // in a difference; empty for none
	}{
		"as it was made": {func(*Item) bool { return true }, ""},
		"another content": {func(i *Item) bool {
			if strings.HasSuffix(i.Name, ".file") && i.Body == "same" {
				i.Body = "some"
			}
			return true
		}, "usr/a"},
		"other attributes": {func(i *Item) bool {
			if strings.HasSuffix(i.Name, "-link") && strings.Contains(i.Body, "user.a") {
				i.Body = strings.Replace(i.Body, "user.a", "user.b", 1)
			}
			return true
		}, "usr/a"},
		"another owner": {func(i *Item) bool {
			if i.Uid == 1 {
				i.Uid = 3
			}
			return true
		}, "usr/suid"},
		"no such object": {func(i *Item) bool {
			return i.Size > 0 || i.Linkname != "" ||
				!strings.HasSuffix(i.Name, ".file")
		}, "usr/empty"},
		"a name gone": {func(i *Item) bool { return i.Name != "usr/link" }, "usr/link"},
		"a mode": {func(i *Item) bool {
			if i.Name == "usr/dir" {
				i.Mode = 0o755
			}
			return true
		}, "usr/dir"},
	} {
		t.Run(name, func(t *testing.T) {
			var layers [][]Item
			for _, l := range served.Layers {
				var out []Item
				for _, i := range slices.Clone(l) {
					if c.edit(&i) {
						i.Size = int64(len(i.Body))
						out = append(out, i)
					}
				}
				layers = append(layers, out)
			}
			got, err := e.Inspect(t.Context(), rechunktest.NewImage(t, made, layers...).Request("", rechunk.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			diffs, _, err := WithNoise(t.Context(), want, got, tree.DiffOptions{})
			found := slices.ContainsFunc(diffs,
				func(d tree.Difference) bool { return d.What == "ostree" && d.Path == c.what })
			if err != nil || found != (c.what != "") || c.what == "" && len(diffs) > 0 {
				t.Errorf("differences %v, %v", diffs, err)
			}
		})
	}
}

// What an update in ostree's form costs is shared out among the files whose objects it sends, not among objects.
func TestUpdateOfObjects(t *testing.T) {
	t.Parallel()
	items := func(version string) []Item {
		owned := func(name, component string, size int) Item {
			return File(name, strings.Repeat(component+version, size)).WithXattr("user.component", component)
		}
		return []Item{Dir("."), Dir("etc"), Dir("sysroot"), Dir("usr"), owned("etc/conf", "A", 4000),
			owned("usr/a", "A", 4000),
			owned("usr/b", "B", 40000), owned("usr/copy", "B", 40000), File("usr/same", strings.Repeat("same", 9000))}
	}
	store := &rechunktest.MemoryStore{}
	e := rechunk.New(rechunk.Config{Store: store, Records: store, WorkDir: t.TempDir()})
	var images []*rechunk.Inspection
	for _, version := range []string{"1", "2"} {
		r, err := e.Rechunk(t.Context(), rechunktest.NewImage(t, rechunktest.ImageOptions{}, items(version)).Request("test",
			rechunk.Options{MaxLayers: 8, MaxStale: 1, Format: layer.Zstd, Versions: 2, OSTree: true}))
		if err != nil {
			t.Fatal(err)
		}
		versions, err := e.LineageOf(t.Context(), "test", r.Platform)
		if err != nil {
			t.Fatal(err)
		}
		served, err := rechunktest.Check(store, versions[0])
		if err != nil {
			t.Fatal(err)
		}
		made := rechunktest.ImageOptions{Labels: served.Config.Config.Labels,
			Annotations: map[string]string{image.AnnotationSource: "sha256:1"}}
		made.Labels["ostree.final-diffid"] = ""
		got, err := e.Inspect(t.Context(), rechunktest.NewImage(t, made, served.Layers...).Request("", rechunk.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		images = append(images, got)
	}
	old, next := images[0], images[1]
	out, err := Update(t.Context(), old, next, layer.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	shares, bytes, objects := map[string]int64{}, int64(0), int64(0)
	for _, p := range out.Components {
		shares[p.Component] = p.UpdateBytes
		bytes += p.UpdateBytes
	}
	for _, l := range out.Layers[1:] { // the first is the commit's
		objects += l.Size
	}
	if bytes > objects || bytes < objects*8/10 || shares["custom/B"] < 4*shares["custom/A"] || shares["custom/A"] == 0 {
		t.Errorf("components have %v of %d bytes", shares, objects)
	}
	tally := NewDeltaTally(old, next, "strata")
	for k, l := range next.Image.Manifest.Layers[1:] {
		tally.AddEstimated(DeltaLayer{Digest: l.Digest, Size: l.Size, DeltaBytes: l.Size / 2}, next.Layers[k+1])
	}
	sent := map[string]int64{}
	for _, p := range tally.Sum().Components {
		sent[p.Component] = p.DeltaBytes
	}
	if sent["custom/B"] < 4*sent["custom/A"] || sent["custom/A"] == 0 || sent["rest"] == 0 {
		t.Errorf("components have %v of the deltas", sent)
	}
}
