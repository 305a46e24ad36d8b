package rechunk_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// variant is an image whose content is its own: name and version decide every large file.
func variant(name string, version int) []treetest.Item {
	items := []treetest.Item{treetest.Dir("."), treetest.File("version", fmt.Sprint(name, version))}
	for i := range 4 {
		r := rand.New(rand.NewPCG(uint64(i), uint64(digest.FromString(name).Encoded()[0])))
		content := make([]byte, 1<<20)
		for k := range content {
			content[k] = byte(r.Uint32())
		}
		items = append(items, treetest.File(fmt.Sprint(name, i), string(content)).WithXattr("user.component",
			fmt.Sprint(name, i)))
	}
	return items
}

// serveAs makes an image of a series.
func (b *bench) serveAs(t *testing.T, ref string, items []treetest.Item, o rechunk.Options) rechunk.Version {
	t.Helper()
	req := source(t, items).Request("family", o)
	req.Reference = ref
	r, err := b.Rechunk(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return b.version(t, "family", r)
}

// A variant that moves rarely keeps its layers, however often another of its family moves meanwhile, and its updates are
// compared with its own version before.
func TestSeriesOfAFamilyAreRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	o := rules
	o.Versions = 10
	rare := b.serveAs(t, "rare", variant("rare", 1), o)
	for v := range 12 {
		b.serveAs(t, "daily", variant("daily", v), o)
	}
	next := b.serveAs(t, "rare", variant("rare", 2), o)
	if next.LayersKept < len(rare.Layers)-1 || next.NewBytes > 100<<10 {
		t.Errorf("%d of %d layers kept, %d new bytes", next.LayersKept, len(rare.Layers), next.NewBytes)
	}
	if !slices.Contains(rare.SourceLayers, next.SourceLayers[0]) && next.SourceNewBytes != next.SourceBytes {
		t.Errorf("%d of %d source bytes are new", next.SourceNewBytes, next.SourceBytes)
	}
	versions, err := b.LineageOf(t.Context(), "family", next.Platform)
	if err != nil || len(versions) != o.Versions {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	for i, want := range []string{"rare", "daily", "daily"} {
		if versions[i].Reference != want || versions[i].Sequence != 14-i {
			t.Errorf("version %d: %s %d", i, versions[i].Reference, versions[i].Sequence)
		}
	}
	// With room for two versions, they are the newest of each.
	o.Versions = 2
	b.serveAs(t, "daily", variant("daily", 90), o)
	b.serveAs(t, "daily", variant("daily", 91), o)
	versions, err = b.LineageOf(t.Context(), "family", next.Platform)
	if err != nil || len(versions) != 2 || versions[0].Reference != "daily" || versions[1].Digest != next.Digest {
		t.Errorf("%d versions, %v", len(versions), err)
	}
}

// edition is an image of a family: what it shares with the others, a part of which each version changes, and what is its
// own.
func edition(name string, version int) []treetest.Item {
	items := []treetest.Item{treetest.Dir("."), treetest.Dir("usr")}
	add := func(component string, version int) {
		seed := digest.FromString(component).Encoded()
		r := rand.New(rand.NewPCG(uint64(version), uint64(seed[0])<<8|uint64(seed[1])))
		content := make([]byte, 1<<20)
		for k := range content {
			content[k] = byte(r.Uint32())
		}
		items = append(items, treetest.File("usr/"+component+".so", string(content)).WithXattr("user.component", component))
	}
	for i := range 6 {
		add(fmt.Sprint("shared", i), (version+i)/3)
	}
	for i := range 3 {
		add(fmt.Sprint(name, i), version/2)
	}
	return items
}

// What a version changes in all variants is stored once: whichever comes first, the others serve the layers that it made.
func TestVariantsServeEachOthersLayers(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{"plain", "dx"}, {"dx", "plain"}} {
		t.Run(order[0], func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			o := rules
			o.MaxStale = 0.5
			for version := range 6 {
				first := b.serveAs(t, order[0], edition(order[0], version), o)
				second := b.serveAs(t, order[1], edition(order[1], version), o)
				// Two files of 1 MiB change in both and, every other time, three that are the variant's own.
				limit := int64(100 << 10)
				if version%2 == 0 {
					limit += 3 << 20
				}
				if version > 0 && second.NewBytes > limit {
					t.Errorf("version %d: %s made %d new bytes after %s made %d", version, order[1], second.NewBytes,
						order[0], first.NewBytes)
				}
			}
		})
	}
}
