package rechunk_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// host imports images as one on composefs does.
type host struct {
	tb        testing.TB
	dir       string
	composefs *hostimport.Composefs
}

func newHost(tb testing.TB) *host {
	tb.Helper()
	cfsctl := os.Getenv("STRATA_TEST_CFSCTL")
	if cfsctl == "" {
		tb.Skip("STRATA_TEST_CFSCTL names no cfsctl")
	}
	c, err := hostimport.NewComposefs(tb.Context(), cfsctl, tb.TempDir())
	if errors.Is(err, hostimport.ErrMissing) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return &host{tb: tb, dir: tb.TempDir(), composefs: c}
}

// imports imports an image of which the blobs are given and returns the name that it has here.
func (h *host) imports(d digest.Digest, manifest []byte, blob func(digest.Digest) []byte) string {
	h.tb.Helper()
	layout, tag := filepath.Join(h.dir, "layout"), d.Encoded()[:12]
	rechunktest.WriteLayout(h.tb, layout, tag, manifest, blob)
	if err := h.composefs.Import(h.tb.Context(), "oci:"+layout+":"+tag, tag); err != nil {
		h.tb.Fatal(err)
	}
	return tag
}

func (h *host) id(name string, bootable bool) string {
	h.tb.Helper()
	id, err := h.composefs.ID(h.tb.Context(), name, bootable)
	if err != nil {
		h.tb.Fatal(err)
	}
	return id
}

// dump is the filesystem without what the defaults change: how many names a file has, and times.
func (h *host) dump(name string) []string {
	h.tb.Helper()
	out, err := h.composefs.Dump(h.tb.Context(), name)
	if err != nil {
		h.tb.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		if f := strings.Fields(line); len(f) > 7 {
			f[3], f[7] = "links", "time"
			lines[i] = strings.Join(f, " ")
		}
	}
	return lines
}

// Served images are to hosts on composefs what their sources are: with times and links preserved, the filesystem has the
// same id, as it is and as bootc deploys it, labelled by the image's policy; with the defaults nothing but times and the
// number of links differs.
func TestComposefsImport(t *testing.T) {
	t.Parallel()
	for start, versions := range seriesOfImports(t) {
		t.Run(fmt.Sprint("series ", start/10), func(t *testing.T) {
			seed := uint64(2000 + start)
			s := &bootableSeries{random: NewRandom(seed), rng: rand.New(rand.NewPCG(seed, 1)), strict: true}
			s.random.Bootable = true
			exact := rules
			exact.ExactTime, exact.OwnLinks = true, true
			h := newHost(t)
			preserving, keeping := newBench(t, &rechunktest.MemoryStore{}, 2), newBench(t, &rechunktest.MemoryStore{}, 2)
			for n := range versions {
				img := rechunktest.NewImage(t, rechunktest.ImageOptions{}, s.next(t))
				source := h.imports(img.Digest, img.Manifest, img.Bytes)
				same := h.served(preserving, img, exact)
				if h.id(source, true) == h.id(source, false) {
					t.Errorf("version %d: nothing is labelled", n)
				}
				for _, bootable := range []bool{false, true} {
					if got, want := h.id(same, bootable), h.id(source, bootable); got != want {
						t.Fatalf("version %d, bootable %v: hosts have %s, of the source %s", n, bootable, got, want)
					}
				}
				if diff := cmp.Diff(h.dump(source), h.dump(h.served(keeping, img, rules))); diff != "" {
					t.Fatalf("version %d is not the source (-source +served):\n%s", n, diff)
				}
			}
		})
	}
}

// served imports what is served of an image.
func (h *host) served(b *bench, img *rechunktest.Image, o rechunk.Options) string {
	h.tb.Helper()
	v, _ := b.serve(h.tb, img, o)
	manifest, _ := b.store.Blob(v.Digest)
	return h.imports(v.Digest, manifest, func(d digest.Digest) []byte {
		blob, _ := b.store.Blob(d)
		return blob
	})
}
