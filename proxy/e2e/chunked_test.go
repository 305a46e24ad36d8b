package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/programtest"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// newPartialPodman is a podman that fetches of zstd:chunked layers what it lacks, by ranges. Debian 12's cannot.
func newPartialPodman(tb testing.TB) *podman {
	tb.Helper()
	program := os.Getenv("STRATA_TEST_PODMAN")
	if program == "" {
		tb.Skip("STRATA_TEST_PODMAN is not set: .ci/clients sets up a podman that pulls in part")
	}
	if storageDriver(tb) != "overlay" {
		tb.Skip("podman pulls in part with the driver overlay only, which does not work here")
	}
	p := newPodman(tb)
	p.program = program
	conf := filepath.Join(p.dir, "storage.conf")
	text, err := os.ReadFile(conf)
	if err == nil {
		err = os.WriteFile(conf, append(text, "[storage.options.pull_options]\nenable_partial_images = \"true\"\n"...),
			0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// ranges counts the answers of blobs in part.
func (p *proxy) ranges() int {
	return len(p.Log.Find(func(l programtest.Line) bool {
		return l["msg"] == "request" && l["route"] == "blob" && l["status"] == float64(http.StatusPartialContent)
	}))
}

// All clients take images of zstd:chunked layers, whatever they know of them, and get the source's files.
func TestZstdChunked(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{rule: `format: "zstd:chunked"`})
	var last ocispec.Manifest
	for _, tag := range []string{"v1", "v2", "v3"} {
		last = manifest(t, p.image("os/image:"+tag))
		for _, l := range last.Layers {
			if _, err := toc.Find(l.Annotations); err != nil || l.MediaType != ocispec.MediaTypeImageLayerZstd {
				t.Errorf("%s: layer %s of type %s: %v", tag, l.Digest, l.MediaType, err)
			}
		}
	}
	t.Run("skopeo and umoci", func(t *testing.T) {
		for _, tag := range []string{"v1", "v3"} {
			sameTree(t, unpack(t, u.host()+"/os/image:"+tag), unpack(t, p.image("os/image:"+tag)),
				sameness{times: tag == "v1"})
		}
	})
	t.Run("podman", func(t *testing.T) {
		m := newPodman(t)
		for _, tag := range []string{"v1", "v2"} {
			m.pull(p.image("os/image:" + tag))
			sameTree(t, unpack(t, u.host()+"/os/image:"+tag), m.mount(p.image("os/image:"+tag)), sameness{anyTop: true})
		}
	})
	t.Run("podman in part", func(t *testing.T) {
		m := newPartialPodman(t)
		for _, tag := range []string{"v1", "v2", "v3"} {
			before := p.ranges()
			m.pull(p.image("os/image:" + tag))
			if p.ranges() == before {
				t.Errorf("%s: no ranges", tag)
			}
			sameTree(t, unpack(t, u.host()+"/os/image:"+tag), m.mount(p.image("os/image:"+tag)), sameness{anyTop: true})
		}
	})
	t.Run("bootc", func(t *testing.T) {
		b := newBootc(t)
		for _, tag := range []string{"v1", "v2"} {
			sameFiles(t, unpack(t, u.host()+"/os/image:"+tag), b.upgrade(p.image("os/image:"+tag)))
		}
	})
}

// growing is an image of one large file, of which versions differ in little, and of a small one.
func growing(tb testing.TB, revision int) sourceImage {
	tb.Helper()
	large := []byte(random("large", 1, 4<<20))
	large[2<<20] = byte(revision)
	items := []treetest.Item{treetest.Dir("."), treetest.Dir("usr"), treetest.Dir("usr/lib"),
		treetest.File("usr/lib/large", string(large)), treetest.File("usr/lib/small", random("small", revision, 1000))}
	for i := range items {
		items[i] = items[i].WithTime(version1().built)
	}
	return sourceImage{
		layers: [][]byte{treetest.Gzip(tb, treetest.Tar(tb, items...))}, labels: map[string]string{"containers.bootc": "1"},
	}
}

// Of a file that changed in one place podman fetches the piece around that, and not the layer.
func TestPodmanFetchesPieces(t *testing.T) {
	t.Parallel()
	m := newPartialPodman(t)
	u := newUpstream(t)
	u.push("os/image:v1", growing(t, 1))
	u.push("os/image:v2", growing(t, 2))
	p := newProxy(t, u, proxyOptions{rule: `format: "zstd:chunked"`})
	m.pull(p.image("os/image:v1"))
	had, next := manifest(t, p.image("os/image:v1")), manifest(t, p.image("os/image:v2"))
	before := p.blobBytes()
	m.pull(p.image("os/image:v2"))
	got, whole := p.blobBytes()-before, layersSize(next, had)
	t.Logf("podman fetches %d bytes for the update; the new layers have %d", got, whole)
	if got > whole/2 {
		t.Errorf("podman fetches %d bytes for the update; the new layers have %d", got, whole)
	}
	sameTree(t, unpack(t, u.host()+"/os/image:v2"), m.mount(p.image("os/image:v2")), sameness{anyTop: true})
}
