package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// corpus puts a series of real images into an upstream, as os/image, and returns the tags, oldest first.
func corpus(tb testing.TB, kind string) (*upstream, []string) {
	tb.Helper()
	dir := os.Getenv("STRATA_TEST_CORPUS")
	if dir == "" {
		tb.Skip("STRATA_TEST_CORPUS names no series of real images")
	}
	dir = filepath.Join(dir, kind)
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		tb.Skipf("the corpus has no %s series: %v", kind, err)
	}
	u := newUpstream(tb)
	tags := u.pushLayout("os/image", dir)
	if len(tags) < 3 {
		tb.Skipf("the corpus has %d versions, a series is three", len(tags))
	}
	return u, tags[:3]
}

// TestRealSeries follows an installation of a real system with an update and a rebuild, with all clients.
func TestRealSeries(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"dpkg", "rpm"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			u, tags := corpus(t, kind)
			p := newProxy(t, u, proxyOptions{})
			var images [3]string
			for i, tag := range tags {
				images[i] = p.image("os/image:" + tag)
			}
			checkUpdates(t, images)
			sources := make([]string, len(tags))
			t.Run("source", func(t *testing.T) {
				needRoot(t)
				for i, tag := range tags {
					sources[i] = unpack(t, u.host()+"/os/image:"+tag)
				}
				t.Run("podman", func(t *testing.T) { t.Parallel(); podmanFollows(t, sources, images) })
				t.Run("bootc", func(t *testing.T) { t.Parallel(); bootcFollows(t, sources, images) })
				t.Run("skopeo", func(t *testing.T) {
					t.Parallel()
					sameTree(t, sources[0], unpack(t, images[0]), sameness{times: true, anyLinks: true})
				})
			})
		})
	}
}

func podmanFollows(t *testing.T, sources []string, images [3]string) {
	t.Helper()
	m := newPodman(t)
	for i, image := range images {
		m.pull(image)
		sameTree(t, sources[i], m.mount(image), sameness{anyTop: true, anyLinks: true})
	}
}

func bootcFollows(t *testing.T, sources []string, images [3]string) {
	t.Helper()
	b := newBootc(t)
	for i, image := range images {
		sameFiles(t, sources[i], b.upgrade(image))
	}
}
