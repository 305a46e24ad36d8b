package e2e

import (
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/programtest"
)

// comparison is what "strata compare" tells.
type comparison struct {
	UpdateBytes   int64   `json:"update_bytes"`
	FloorBytes    int64   `json:"floor_bytes"`
	Ratio         float64 `json:"ratio"`
	LayersToFetch int     `json:"layers_to_fetch"`
}

// compare has two images at the proxy compared.
func compare(tb testing.TB, from, to string) comparison {
	tb.Helper()
	var c comparison
	strata(tb, &c, "compare", "--insecure", "docker://"+from, "docker://"+to)
	return c
}

// mostRatio bounds update bytes over the floor: the fewest bytes that any layer with the changed files could have.
const mostRatio = 1.1

// checkUpdates checks what the three versions of a series cost somebody who follows them.
func checkUpdates(t *testing.T, images [3]string) {
	t.Helper()
	v1, v2, v3 := manifest(t, images[0]), manifest(t, images[1]), manifest(t, images[2])
	first, update, rebuild := layersSize(v1), layersSize(v2, v1), layersSize(v3, v2)
	t.Logf("first version %d bytes in %d layers; update %d in %d; rebuild %d in %d", first, len(v1.Layers), update,
		len(v2.Layers), rebuild, len(v3.Layers))
	if update*2 >= first {
		t.Errorf("the update moves %d bytes, the first version had %d", update, first)
	}
	for i, to := range []int64{update, rebuild} {
		c := compare(t, images[i], images[i+1])
		t.Logf("version %d: %+v", i+2, c)
		if c.UpdateBytes != to {
			t.Errorf("strata compare counts %d bytes, the manifests say %d", c.UpdateBytes, to)
		}
		// An update may move files together with ones that stay; a rebuild has no excuse.
		if i == 1 && c.Ratio > mostRatio {
			t.Errorf("the rebuild moves %.2f times the bytes of the files that differ", c.Ratio)
		}
	}
	checkStale(t, v1, v3)
}

// checkStale bounds what a fresh installation of the newest version pays for the history.
func checkStale(t *testing.T, first, last ocispec.Manifest) {
	t.Helper()
	if a, b := layersSize(first), layersSize(last); float64(b) > 1.2*float64(a) {
		t.Errorf("a fresh installation grew from %d to %d bytes", a, b)
	}
}

func TestUpdatesCostWhatChanged(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pushSeries(t, series(true)), proxyOptions{})
	checkUpdates(t, [3]string{p.image("os/image:v1"), p.image("os/image:v2"), p.image("os/image:v3")})
}

// TestSkopeoFetchesNewLayersOnly counts what the proxy sends to a client that keeps its layers.
func TestSkopeoFetchesNewLayersOnly(t *testing.T) {
	t.Parallel()
	need(t, "skopeo")
	p := newProxy(t, pushSeries(t, series(true)), proxyOptions{})
	dir := t.TempDir()
	var had ocispec.Manifest
	for _, tag := range []string{"v1", "v2", "v3"} {
		next := manifest(t, p.image("os/image:"+tag))
		before := layoutSize(t, dir)
		skopeo(t, p.image("os/image:"+tag), dir+":now")
		documents := next.Config.Size + int64(len(rawManifest(t, p.image("os/image:"+tag))))
		if got, want := layoutSize(t, dir)-before, layersSize(next, had); got != want+documents {
			t.Errorf("%s: %d bytes are new, of which %d are the manifest and its config; the new layers have %d", tag, got,
				documents, want)
		}
		had = next
	}
	sent := p.blobBytes()
	skopeo(t, p.image("os/image:v3"), dir+":again")
	if more := p.blobBytes() - sent; more > had.Config.Size {
		t.Errorf("a second pull of the same version moves %d bytes of blobs, its config has %d", more, had.Config.Size)
	}
}

// layoutSize sums up the blobs of an OCI layout.
func layoutSize(tb testing.TB, dir string) int64 {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		tb.Fatal(err)
	}
	var n int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			tb.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// blobBytes is what the process has sent of blobs, by its log.
func (p *proxy) blobBytes() int64 {
	var n int64
	for _, l := range p.Log.Find(func(l programtest.Line) bool { return l["msg"] == "request" && l["route"] == "blob" }) {
		n += int64(l["bytes"].(float64))
	}
	return n
}

func TestPodmanAndBootcFetchNewLayersOnly(t *testing.T) {
	t.Parallel()
	m, b := newPodman(t), newBootc(t)
	p := newProxy(t, pushSeries(t, series(true)), proxyOptions{})
	var had ocispec.Manifest
	for _, tag := range []string{"v1", "v2", "v3", "v3"} {
		image := p.image("os/image:" + tag)
		next := manifest(t, image)
		want := layersSize(next, had)
		sent := p.blobBytes()
		m.pull(image)
		if got := p.blobBytes() - sent; got > want+next.Config.Size {
			t.Errorf("podman fetches %d bytes for %s; the new layers have %d, the config %d", got, tag, want,
				next.Config.Size)
		}
		fetched := b.fetched
		b.upgrade(image)
		if got := b.fetched - fetched; got != want {
			t.Errorf("bootc fetches %d bytes for %s; the new layers have %d", got, tag, want)
		}
		had = next
	}
}
