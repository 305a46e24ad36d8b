package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
)

// ostreeHost takes in images of ostree's form as hosts on ostree do: of the layers those that it lacks, by digest, and of
// the objects in them those that its repository lacks. It commits and labels nothing.
type ostreeHost struct {
	tb         testing.TB
	dir        string
	repository *hostimport.Ostree
}

func newOSTreeHost(tb testing.TB) *ostreeHost {
	tb.Helper()
	need(tb, "skopeo", "tar")
	h := &ostreeHost{tb: tb, dir: tb.TempDir()}
	var err error
	h.repository, err = hostimport.NewOstree(tb.Context(), h.dir)
	if errors.Is(err, hostimport.ErrMissing) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// layers is the layout in which the host keeps what it has pulled.
func (h *ostreeHost) layers() string { return filepath.Join(h.dir, "layers") }

func (h *ostreeHost) ostree(args ...string) string {
	h.tb.Helper()
	out, err := h.repository.Run(h.tb.Context(), nil, args...)
	if err != nil {
		h.tb.Fatal(err)
	}
	return out
}

// upgrade pulls an image and takes its commit in. It returns a checkout.
func (h *ostreeHost) upgrade(image string, m ocispec.Manifest) string {
	h.tb.Helper()
	skopeo(h.tb, image, h.layers()+":now")
	objects := h.tb.TempDir()
	for _, l := range m.Layers {
		h.unpack(l, objects)
	}
	commit := m.Annotations["ostree.commit"]
	h.ostree("pull-local", filepath.Join(objects, "sysroot/ostree/repo"), commit)
	h.ostree("refs", "--create=deployed/"+commit, commit) // so that fsck looks for all that it names
	h.ostree("fsck")
	checkout := filepath.Join(h.tb.TempDir(), "checkout")
	h.ostree("checkout", commit, checkout)
	return checkout
}

// unpack unpacks the objects of a layer into a directory.
func (h *ostreeHost) unpack(l ocispec.Descriptor, dir string) {
	h.tb.Helper()
	blob, err := os.Open(filepath.Join(h.layers(), "blobs", "sha256", l.Digest.Encoded()))
	if err != nil {
		h.tb.Fatal(err)
	}
	defer blob.Close()
	archive := filepath.Join(h.dir, "layer.tar")
	out, err := os.Create(archive)
	if err != nil {
		h.tb.Fatal(err)
	}
	_, err = out.ReadFrom(decompress(h.tb, l.MediaType, blob))
	if err := errors.Join(err, out.Close()); err != nil {
		h.tb.Fatal(err)
	}
	_, err = try(h.tb, []string{"LC_ALL=C"}, "tar", "-xpf", archive, "--numeric-owner", "-C", dir, "sysroot")
	if err != nil && !strings.Contains(err.Error(), "Not found in archive") { // a layer of empty files has no object
		h.tb.Fatal(err)
	}
}

// checkCapsule checks what importers demand of a manifest of ostree's form and its config.
func checkCapsule(tb testing.TB, image string, m ocispec.Manifest) {
	tb.Helper()
	config, err := crane(tb, image).ConfigFile()
	if err != nil {
		tb.Fatal(err)
	}
	labels, ids := config.Config.Labels, config.RootFS.DiffIDs
	if len(ids) != len(m.Layers) || labels["ostree.final-diffid"] != ids[len(ids)-1].String() {
		tb.Errorf("%d layers, %d diff_ids, the last one is %s by the label", len(m.Layers), len(ids),
			labels["ostree.final-diffid"])
	}
	if labels["ostree.commit"] == "" || labels["ostree.commit"] != m.Annotations["ostree.commit"] {
		tb.Errorf("the commit is %q by the label, %q by the annotation", labels["ostree.commit"],
			m.Annotations["ostree.commit"])
	}
}

// A rule with format: ostree serves images whose objects a host takes in without an import of its own: it gets the source's
// system, its repository is sound, and an update fetches the new layers only. Containers get the source's files, too.
func TestOSTree(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{rule: "format: ostree"})
	tags := []string{"v1", "v2", "v3"}
	t.Run("host", func(t *testing.T) {
		h := newOSTreeHost(t)
		var had []ocispec.Manifest
		for _, tag := range tags {
			image := p.image("os/image:" + tag)
			next := manifest(t, image)
			checkCapsule(t, image, next)
			before := layoutSize(t, h.layers())
			got := h.upgrade(image, next)
			fetched, documents := layersSize(next, had...), next.Config.Size+int64(len(rawManifest(t, image)))
			if got := layoutSize(t, h.layers()) - before; got != fetched+documents {
				t.Errorf("%s: %d bytes are new, of which %d are the manifest and its config; the new layers have %d", tag,
					got, documents, fetched)
			}
			if all := layersSize(next); len(had) > 0 && fetched*2 >= all {
				t.Errorf("%s: the update moves %d bytes of %d", tag, fetched, all)
			}
			had = append(had, next)
			if err := os.Rename(filepath.Join(got, "usr/etc"), filepath.Join(got, "etc")); err != nil {
				t.Fatal(err)
			}
			sameTree(t, unpack(t, u.host()+"/os/image:"+tag), got, sameness{anyLinks: true})
		}
	})
	t.Run("verify", func(t *testing.T) {
		for _, tag := range tags {
			var v oneshot.Verification
			strata(t, &v, "verify", "--insecure", "docker://"+u.host()+"/os/image:"+tag,
				"docker://"+p.image("os/image:"+tag))
			if !v.Same || len(v.Differences) > 0 || len(v.Noise) > 0 {
				t.Errorf("%s: %+v", tag, v)
			}
		}
	})
	t.Run("podman", func(t *testing.T) {
		m := newPodman(t)
		for _, tag := range tags[:2] {
			m.pull(p.image("os/image:" + tag))
			sameFiles(t, unpack(t, u.host()+"/os/image:"+tag), m.mount(p.image("os/image:"+tag)), "sysroot")
		}
	})
}
