package rechunk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// composer makes images of ostree commits as rpm-ostree does, and imports them as hosts do: both by ostree-ext itself.
type composer struct {
	ext *hostimport.OstreeExt
	*importer
	dir string
}

func newComposer(tb testing.TB) *composer {
	tb.Helper()
	program := os.Getenv("STRATA_TEST_OSTREE_EXT")
	if program == "" {
		tb.Skip("STRATA_TEST_OSTREE_EXT names no program of .ci/ostree-ext")
	}
	ext, err := hostimport.NewOstreeExt(program)
	if errors.Is(err, hostimport.ErrMissing) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return &composer{ext: ext, importer: newImporter(tb), dir: tb.TempDir()}
}

// compose commits a system, labelled by its policy, and encapsulates the commit in so many layers; it gives the commit, too.
func (c *composer) compose(chunks int, items ...Item) (img *rechunktest.Image, commit string) {
	c.tb.Helper()
	raw := Tar(c.tb, items...)
	c.root([]digest.Digest{digest.FromBytes(raw)}, func(digest.Digest) []byte { return raw })
	commit = c.run("commit", "--no-bindings", "--branch=composed", "--tree=ref=merged",
		"--add-metadata=ostree.bootable=true")
	layout := filepath.Join(c.dir, commit)
	if err := os.Mkdir(layout, 0o755); err != nil {
		c.tb.Fatal(err)
	}
	if err := c.ext.Encapsulate(c.tb.Context(), c.ostree.Repo(), commit, layout+":latest", chunks); err != nil {
		c.tb.Fatal(err)
	}
	return rechunktest.ReadLayout(c.tb, layout, "latest"), commit
}

// boots imports an image as a host that has the earlier ones, and gives the commit in it and what the host boots.
func (c *composer) boots(manifest []byte, blob func(digest.Digest) []byte) (commit, merged string) {
	c.tb.Helper()
	layout := filepath.Join(c.dir, "served")
	rechunktest.WriteLayout(c.tb, layout, "latest", manifest, blob)
	commit, merged, err := c.ext.Import(c.tb.Context(), c.ostree.Repo(), layout+":latest")
	if err != nil {
		c.tb.Fatal(err)
	}
	return commit, merged
}

// derived puts a layer on top of an image, as a Containerfile does.
func derived(tb testing.TB, img *rechunktest.Image, items ...Item) *rechunktest.Image {
	tb.Helper()
	var m ocispec.Manifest
	var config ocispec.Image
	if err := json.Unmarshal(img.Manifest, &m); err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(img.Bytes(m.Config.Digest), &config); err != nil {
		tb.Fatal(err)
	}
	var tars [][]byte
	for _, l := range img.Layers {
		plain, err := rechunktest.Unpack(img.Bytes(l))
		if err != nil {
			tb.Fatal(err)
		}
		tars = append(tars, plain)
	}
	return rechunktest.NewImageOf(tb, rechunktest.ImageOptions{
		Labels: config.Config.Labels, Annotations: m.Annotations,
		History: append(config.History, ocispec.History{CreatedBy: "RUN a command"}),
	}, append(tars, Tar(tb, items...))...)
}

// Images of ostree commits as ostree-ext makes them are served with all that hosts get of them: in each plain format a host
// has the root of the source by its checksums, attributes of directories and of empty files among them; in ostree's form,
// ostree-ext imports them, too, and what it boots is the same.
func TestOstreeExt(t *testing.T) {
	t.Parallel()
	for start, versions := range seriesOfImports(t) {
		t.Run(fmt.Sprint("series ", start/10), func(t *testing.T) {
			seed := uint64(4000 + start)
			s := &bootableSeries{random: NewRandom(seed), rng: rand.New(rand.NewPCG(seed, 1))}
			s.random.Bootable = true
			composed := newComposer(t)
			served := &servedForms{composer: newComposer(t), plain: map[string]*bench{}}
			for n := range versions {
				items := append(s.next(t), Dir("usr/lib/empty").WithXattr("user.empty", fmt.Sprint("\x00", n/2)),
					File("usr/lib/void", "").WithXattr("user.void", fmt.Sprint("\xff", n/3)).WithMode(0o640))
				items = append(items, Dir("var"), Dir("var/tmp").WithMode(0o1777))
				img, commit := composed.compose([]int{0, 4, 8, 20}[n%4], items...)
				// What hosts have is the commit. With chunks that hold nothing ostree-ext does not read its own images.
				boots := commit
				if n%4 == 0 {
					// A directory keeps its header: ostree takes that of the lowest layer with it.
					img = derived(t, img, Dir("usr"), Dir("usr/lib"), Whiteout("usr/lib/void"), File("etc/added", "a"),
						Dir("usr/lib/more").WithXattr("user.more", "derived"))
					_, boots = composed.boots(img.Manifest, img.Bytes)
				}
				served.check(t, n, img, composed, boots)
			}
		})
	}
}

// servedForms are images served in every form, each with a lineage of its own.
type servedForms struct {
	*composer
	plain  map[string]*bench
	ostree *bench
}

func (f *servedForms) check(t *testing.T, n int, img *rechunktest.Image, source *composer, boots string) {
	t.Helper()
	for _, format := range layer.Formats() {
		name := format.Spec().Name
		if f.plain[name] == nil {
			f.plain[name] = newBench(t, &rechunktest.MemoryStore{}, 2)
		}
		o := rules
		o.Format = format
		v, _ := f.plain[name].serve(t, img, o)
		f.importer.served(f.plain[name], v)
		if diff := cmp.Diff(source.seen(boots), f.seen("merged")); diff != "" {
			t.Fatalf("version %d as %s: what hosts get is not the source's (-source +served):\n%s", n, name, diff)
		}
	}
	if f.ostree == nil {
		f.ostree = newBench(t, &rechunktest.MemoryStore{}, 2)
	}
	v, s := f.ostree.serve(t, img, encapsulated())
	manifest, _ := f.ostree.store.Blob(v.Digest)
	commit, merged := f.composer.boots(manifest, func(d digest.Digest) []byte {
		b, _ := f.ostree.store.Blob(d)
		return b
	})
	if v.Form != rechunk.FormOSTree || commit != s.Config.Config.Labels["ostree.commit"] {
		t.Fatalf("version %d is served in the form %q, and hosts take commit %s", n, v.Form, commit)
	}
	if diff := cmp.Diff(source.seen(boots), f.seen(merged)); diff != "" {
		t.Fatalf("version %d in ostree's form: what hosts get is not the source's (-source +served):\n%s", n, diff)
	}
}

// seen is what hosts get by a commit, with the checksums of its root.
func (i *importer) seen(commit string) []string {
	return append(i.listing(commit), i.run("ls", "-d", "-C", commit, "/"))
}

// ostree-ext puts a /var/tmp into every image, for containers, and takes none of it when a host imports one; served images
// have it. So a host gets it of a plain image of a commit without one, and nothing else differs.
func TestOstreeExtVarTmp(t *testing.T) {
	t.Parallel()
	composed, hosts := newComposer(t), newImporter(t)
	s := &bootableSeries{random: NewRandom(1), rng: rand.New(rand.NewPCG(1, 1))}
	s.random.Bootable = true
	img, commit := composed.compose(4, s.next(t)...)
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	v, _ := b.serve(t, img, rules)
	hosts.served(b, v)
	var more []string
	source, served := composed.listing(commit), hosts.listing("merged")
	for _, line := range served {
		if !slices.Contains(source, line) {
			more = append(more, line[strings.LastIndex(line, " ")+1:])
		}
	}
	if diff := cmp.Diff([]string{"/var", "/var/tmp"}, more); diff != "" || len(served) != len(source)+2 {
		t.Errorf("hosts have %d files, the commit has %d; besides:\n%s", len(served), len(source), diff)
	}
}
