package oneshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/proxy/oneshot/imagetest"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// blobs keeps blobs in memory.
type blobs struct {
	mu   sync.Mutex
	have map[digest.Digest][]byte
}

// PutBlob implements imagedelta.Sink.
func (b *blobs) PutBlob(_ context.Context, d ocispec.Descriptor, r io.Reader) error {
	raw, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.have[d.Digest] = raw
	return err
}

func (b *blobs) open(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	raw, ok := b.have[d.Digest]
	if !ok {
		return nil, fmt.Errorf("no blob %s", d.Digest)
	}
	return io.NopCloser(bytes.NewReader(raw)), nil
}

// opened opens an image.
func opened(t *testing.T, ref string) imageref.Source {
	t.Helper()
	r, err := imageref.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Open(t.Context(), imageref.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// proven reports why an image is not proven to be made of a source; nil when it is.
func proven(t *testing.T, served, source string) error {
	t.Helper()
	i, err := oneshot.NewInspector(t.Context(), oneshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	b := &blobs{have: map[digest.Digest][]byte{}}
	artifact, err := i.Origin(t.Context(), opened(t, served), opened(t, source), b)
	if err == nil {
		_, config, d := opened(t, source).Manifest()
		b.have[d] = config
		err = i.CheckOrigin(t.Context(), opened(t, served), artifact, b.open)
	}
	return err
}

// small is an image of which every version has a newer file.
func small(version uint64) imagetest.Image {
	return imagetest.Image{Layers: [][]treetest.Item{{
		treetest.Dir("."), treetest.Dir("etc"), treetest.Dir("sysroot"), treetest.Dir("usr"), treetest.Dir("usr/lib"),
		treetest.File("usr/lib/same", imagetest.Noise("same", 9000)), treetest.Symlink("usr/lib/link", "same"),
		treetest.File("usr/lib/next", imagetest.Noise(fmt.Sprint(version), 900)), treetest.File("etc/empty", ""),
	}}}
}

// What is made of a source in any form is proven by what both hold, whatever labels the source has, and also where layers
// are kept and hold more than is used.
func TestOriginOfForms(t *testing.T) {
	for name, labels := range map[string]map[string]string{
		"by containers.bootc": {"containers.bootc": "1", "version": "7"},
		"by ostree.bootable":  {"ostree.bootable": "true", "ostree.linux": "another"},
		"by both":             {"containers.bootc": "1", "ostree.bootable": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for form, o := range map[string]rechunk.Options{
				"zstd": rules(), "gzip": {MaxLayers: 20, MaxStale: 0.2, Format: layer.Gzip},
				"ostree": {MaxLayers: 20, MaxStale: 0.9, Format: layer.Zstd, OSTree: true},
			} {
				state := t.TempDir()
				for n := range uint64(2) {
					img := small(n)
					img.Labels = labels
					source := fmt.Sprintf("oci:%s/source:%d", dir, n)
					img.Write(t, source)
					served := fmt.Sprintf("oci:%s/%s:%d", dir, form, n)
					if _, err := oneshot.Rechunk(t.Context(), source, served, "os", o,
						oneshot.Options{State: state}); err != nil {
						t.Fatal(err)
					}
					if err := proven(t, served, source); err != nil {
						t.Errorf("%s, version %d: %v", form, n, err)
					}
					if n == 0 {
						continue
					}
					other := fmt.Sprintf("oci:%s/other:%d", dir, n)
					with := img
					with.Labels = maps.Clone(labels)
					with.Labels["another"] = "one"
					with.Write(t, other)
					if err := proven(t, served, other); !errors.Is(err, oneshot.ErrDiffers) {
						t.Errorf("%s, of a source with another label: %v", form, err)
					}
				}
			}
		})
	}
}

// An image that says of itself what only encapsulated ones do is held to that.
func TestOriginOfFalseForm(t *testing.T) {
	dir := t.TempDir()
	img := small(1)
	img.Labels = map[string]string{"containers.bootc": "1"}
	img.Write(t, "oci:"+dir+"/source:1")
	img.Labels = map[string]string{"containers.bootc": "1", "ostree.commit": digest.FromString("x").Encoded()}
	img.Write(t, "oci:"+dir+"/served:1")
	if err := proven(t, "oci:"+dir+"/served:1", "oci:"+dir+"/source:1"); !errors.Is(err, oneshot.ErrDiffers) {
		t.Error(err)
	}
}
