package e2e

import (
	"bytes"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// newSeries puts the three versions of the small series into an upstream, as os/image:v1, v2 and v3.
func newSeries(tb testing.TB) *upstream { return pushSeries(tb, series(false)) }

func pushSeries(tb testing.TB, images [3]sourceImage) *upstream {
	tb.Helper()
	u := newUpstream(tb)
	for i, img := range images {
		u.push("os/image:"+[]string{"v1", "v2", "v3"}[i], img)
	}
	return u
}

func TestSkopeoCopyGivesTheSourceFilesystem(t *testing.T) {
	t.Parallel()
	need(t, "skopeo", "umoci")
	needRoot(t)
	u := newSeries(t)
	v := version1()
	v.special = true
	u.push("os/image:special", makeOS(t, v))
	p := newProxy(t, u, proxyOptions{})
	for _, tag := range []string{"v1", "v2", "v3", "special"} {
		// No earlier version has other times for the first one.
		sameTree(t, unpack(t, u.host()+"/os/image:"+tag), unpack(t, p.image("os/image:"+tag)), sameness{times: tag == "v1"})
	}
}

func TestPodmanMountGivesTheSourceFilesystem(t *testing.T) {
	t.Parallel()
	m := newPodman(t)
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{})
	for _, tag := range []string{"v1", "v2"} {
		m.pull(u.host() + "/os/image:" + tag)
		m.pull(p.image("os/image:" + tag))
		sameTree(t, m.mount(u.host()+"/os/image:"+tag), m.mount(p.image("os/image:"+tag)), sameness{})
	}
}

func TestBootcImportGivesTheSourceFilesystem(t *testing.T) {
	t.Parallel()
	b := newBootc(t)
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{})
	for _, tag := range []string{"v1", "v2", "v3"} {
		sameFiles(t, unpack(t, u.host()+"/os/image:"+tag), b.upgrade(p.image("os/image:"+tag)))
	}
}

func TestCraneValidatesEveryLayer(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	zstd, gzip := newProxy(t, u, proxyOptions{}), newProxy(t, u, proxyOptions{rule: "compression: gzip"})
	for _, tag := range []string{"v1", "v2"} {
		checkLayers(t, zstd.image("os/image:"+tag), types.OCILayerZStd)
		checkLayers(t, gzip.image("os/image:"+tag), types.OCILayer)
		// Digests, sizes and diff_ids of all layers, the config and the manifest; it knows gzip only.
		if err := validate.Image(crane(t, gzip.image("os/image:"+tag))); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
}

// checkLayers fetches an image and checks its digests, and that its layers are of a type and in one part.
func checkLayers(t *testing.T, image string, mediaType types.MediaType) {
	t.Helper()
	img := crane(t, image)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.MediaType(); got != mediaType {
			t.Errorf("layer %s: type %s, %v", d, got, err)
		}
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("layer %s: %v", d, err)
		}
		checkOnePart(t, string(mediaType), b)
		got, _, err := v1.SHA256(decompress(t, string(mediaType), bytes.NewReader(b)))
		if err != nil || got != config.RootFS.DiffIDs[i] {
			t.Errorf("layer %s: diff_id %s, %v; the config says %s", d, got, err, config.RootFS.DiffIDs[i])
		}
	}
}

func TestCraneCommand(t *testing.T) {
	t.Parallel()
	need(t, "crane")
	u := newSeries(t)
	zstd, gzip := newProxy(t, u, proxyOptions{}), newProxy(t, u, proxyOptions{rule: "compression: gzip"})
	command(t, nil, "crane", "pull", "--format=oci", zstd.image("os/image:v1"), t.TempDir())
	command(t, nil, "crane", "validate", "--remote", gzip.image("os/image:v1")) // it knows gzip only
}
