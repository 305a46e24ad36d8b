package rechunk_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// A state that was lost goes on from an image in ostree's form that was published of it: hosts have its layers.
func TestAdoptOSTree(t *testing.T) {
	t.Parallel()
	system := func(version string) []Item {
		return append(system(version, stamp), Dir("sysroot"), Symlink("usr/s", "x"))
	}
	before := newBench(t, &rechunktest.MemoryStore{}, 2)
	first, s := before.serve(t, source(t, system("1")), encapsulated())
	req := published(t, before, first)
	req.Options = encapsulated()
	want, _ := before.serve(t, source(t, system("2")), encapsulated())
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	if got, err := b.Adopt(t.Context(), req); !got || err != nil {
		t.Fatalf("adopted %t, %v", got, err)
	}
	v, _ := b.serve(t, source(t, system("2")), encapsulated())
	if v.Digest != want.Digest || v.LayersKept == 0 || v.LayersKept != want.LayersKept {
		t.Errorf("%s, want %s; %d layers kept, want %d", v.Digest, want.Digest, v.LayersKept, want.LayersKept)
	}

	// Of another form, with other objects than it says, or with a layer of its own on top it is nothing to build on.
	object := func(change func(i *Item)) []([]Item) {
		layers := make([][]Item, len(s.Layers))
		for n := range layers {
			layers[n] = slices.Clone(s.Layers[n])
			for k := range layers[n] {
				if i := &layers[n][k]; strings.HasSuffix(i.Name, ".file") && i.Body != "" {
					change(i)
				}
			}
		}
		return layers
	}
	labels := s.Config.Config.Labels
	for name, tc := range map[string]struct {
		options rechunk.Options
		layers  [][]Item
		labels  map[string]string
	}{
		"plain ones would be made": {rules, s.Layers, labels},
		"it is a plain one":        {encapsulated(), [][]Item{system("1")}, map[string]string{"containers.bootc": "1"}},
		"another content": {encapsulated(), object(func(i *Item) {
			i.Body = strings.Repeat("x", len(i.Body))
		}), labels},
		"another owner": {encapsulated(), object(func(i *Item) { i.Uid++ }), labels},
		"no attributes": {encapsulated(), object(func(i *Item) { i.Name = i.Name[:len(i.Name)-9] + "0000.file" }), labels},
	} {
		fresh := newBench(t, &rechunktest.MemoryStore{}, 2)
		img := rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: tc.labels, Annotations: s.Manifest.Annotations,
			Compress: Zstd, MediaType: first.Layers[0].Type}, tc.layers...)
		if got, err := fresh.Adopt(t.Context(), img.Request("test", tc.options)); got ||
			!errors.Is(err, rechunk.ErrNotAdopted) {
			t.Errorf("%s: adopted %t, %v", name, got, err)
		}
		if n := len(fresh.store.Records(rechunk.KindLineage)); n > 0 {
			t.Errorf("%s: %d lineages", name, n)
		}
	}
}

// An image that ostree-ext made, as rpm-ostree does, is one to build on: hosts that have it keep the layers that still fit,
// byte by byte.
func TestAdoptOstreeExt(t *testing.T) {
	t.Parallel()
	c := newComposer(t)
	items := func(version string) []Item {
		all := []Item{Dir("usr"), Dir("usr/bin"), Dir("etc"), Dir("sysroot"), Dir("var"), Dir("boot"), File("etc/conf", "c")}
		for _, name := range []string{"a", "b", "c", "d"} {
			all = append(all, File("usr/bin/"+name, strings.Repeat(name+" is the same", 4000)))
		}
		return append(all, File("usr/bin/next", version))
	}
	img, _ := c.compose(4, items("1")...)
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	if got, err := b.Adopt(t.Context(), img.Request("test", encapsulated())); !got || err != nil {
		t.Fatalf("adopted %t, %v", got, err)
	}
	next, _ := c.compose(4, items("2")...)
	v := b.version(t, "test", b.rechunk(t, next, "test", encapsulated()))
	if v.LayersKept == 0 {
		t.Errorf("nothing is kept of %d layers", len(img.Layers))
	}
	for _, l := range v.Layers {
		if l.Kept != slices.Contains(img.Layers, l.Digest) {
			t.Errorf("layer %s, kept %t", l.Digest, l.Kept)
		}
	}
	blob := func(d digest.Digest) []byte {
		raw, _ := b.store.Blob(d)
		return raw
	}
	commit, _ := c.boots(blob(v.Digest), blob)
	if got := c.run("cat", commit, "/usr/bin/next"); got != "2" {
		t.Errorf("hosts have the version %q", got)
	}
}
