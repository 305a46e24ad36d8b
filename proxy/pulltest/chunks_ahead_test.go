package pulltest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

// cut lists the sizes in which images were cut, one for each image.
func (h *harness) cut() (sizes []string) {
	h.t.Helper()
	err := h.Records.ChunkIndexes.List(h.t.Context(), catalog.Prefix[catalog.ChunkIndexKey]{},
		func(k catalog.ChunkIndexKey, _ time.Time) error { sizes = append(sizes, k.Sizes); return nil })
	if err != nil {
		h.t.Fatal(err)
	}
	slices.Sort(sizes)
	return sizes
}

// warm has a tag pulled ahead.
func (h *harness) warm(tag string) {
	h.t.Helper()
	if err := h.Warmer.Warm(h.t.Context(), testRepo.String()+":"+tag, func(operate.WarmEvent) {}); err != nil {
		h.t.Fatal(err)
	}
}

// Who is told to has every new version cut before anybody asks, and a reference is warm when its chunks are there. Operators
// see it among the jobs.
func TestChunksAheadAlways(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks)
	h.casync.Ahead = config.AheadAlways
	h.up.tag("stable", chunky(t, "one").push(t, h.up))
	h.warm("stable")
	if got := h.cut(); !slices.Equal(got, []string{"1:4:16"}) {
		t.Fatalf("cut in %v", got)
	}
	var seen []operate.JobReport
	for _, j := range h.View.Jobs(t.Context()) {
		if j.Kind == operate.KindChunks {
			seen = append(seen, j)
		}
	}
	if len(seen) != 1 || seen[0].State != jobs.Done || seen[0].DoneBytes == 0 || seen[0].DoneBytes != seen[0].TotalBytes ||
		seen[0].Repository != testRepo.String() || !strings.HasPrefix(seen[0].Reference, "sha256:") || seen[0].Error != "" {
		t.Errorf("%+v", seen)
	}
	h.warm("stable")
	if got := h.cut(); len(got) != 1 {
		t.Errorf("again: cut in %v", got)
	}
}

// By default it is where clients asked, and in the sizes that they asked for; it is nothing where images are not served as
// chunks.
func TestChunksAheadWhereAsked(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks)
	h.up.tag("stable", chunky(t, "one").push(t, h.up))
	h.warm("stable")
	if got := h.cut(); len(got) != 0 {
		t.Fatalf("nobody asked, and it is cut in %v", got)
	}
	base, _ := h.serve(t)
	indexAt(t, base+"/casync/"+testRepo.String()+"/stable.caibx?chunk-size=2:8:32")
	h.up.tag("stable", chunky(t, "two").push(t, h.up))
	h.warm("stable")
	if got := h.cut(); !slices.Equal(got, []string{"2:8:32", "2:8:32"}) {
		t.Errorf("cut in %v", got)
	}
	h.casync.Serve, h.casync.Ahead = false, config.AheadAlways
	h.up.tag("stable", chunky(t, "three").push(t, h.up))
	h.warm("stable")
	if got := h.cut(); len(got) != 2 {
		t.Errorf("they are not served, and cut in %v", got)
	}
}
