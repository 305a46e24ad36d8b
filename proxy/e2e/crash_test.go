package e2e

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/claim"
	"github.com/strata-oci/strata/proxy/programtest"
)

// digests pulls tags of os/image one after another and returns what they stand for.
func digests(tb testing.TB, p *proxy, tags ...string) []digest.Digest {
	tb.Helper()
	var out []digest.Digest
	for _, tag := range tags {
		out = append(out, digest.FromBytes(rawManifest(tb, p.image("os/image:"+tag))))
	}
	return out
}

// stored counts the objects in a proxy's store.
func stored(tb testing.TB, p *proxy) int {
	tb.Helper()
	n := 0
	for range files(tb, filepath.Join(p.dir, "data")) {
		n++
	}
	return n
}

// files lists the files below a directory; one that is missing has none.
func files(tb testing.TB, dir string) []string {
	tb.Helper()
	var out []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() { // files come and go while the proxy works
			out = append(out, path)
		}
		return nil
	})
	return out
}

// checkNoLeftovers checks that nothing half-made lies about, beside the file by which processes know of each other.
func checkNoLeftovers(tb testing.TB, p *proxy) {
	tb.Helper()
	before := map[string]bool{}
	for n := 0; ; n++ {
		left := map[string]bool{}
		for _, dir := range []string{"data/v1/uploads", "strata-work"} {
			for _, file := range files(tb, filepath.Join(p.dir, dir)) {
				if filepath.Base(file) != claim.FileName && (n == 0 || before[file]) {
					left[file] = true
				}
			}
		}
		if len(left) == 0 {
			return
		}
		if n == 20 {
			tb.Errorf("left behind: %v", slices.Sorted(maps.Keys(left)))
			return
		}
		// A file that tries whether the store can be written to is there for a moment.
		before = left
		time.Sleep(100 * time.Millisecond)
	}
}

// pullInBackground asks for a tag as a client does that does not care for the answer.
func (p *proxy) pullInBackground(ctx context.Context, tag string) <-chan error {
	done := make(chan error, 1)
	ref := reference(p.tb, p.image("os/image:"+tag))
	go func() {
		_, err := remote.Get(ref, remote.WithContext(ctx))
		done <- err
	}()
	return done
}

// until waits for a condition that only looking can tell.
func until(tb testing.TB, what string, reached func() bool) {
	tb.Helper()
	for end := time.Now().Add(programtest.Patience); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("%s did not come", what)
		}
	}
}

func TestSameInputGivesSameDigests(t *testing.T) {
	t.Parallel()
	u := pushSeries(t, series(true))
	tags := []string{"v1", "v2", "v3"}
	want := fmt.Sprint(digests(t, newProxy(t, u, proxyOptions{}), tags...))
	for _, env := range [][]string{nil, {"GOMAXPROCS=1"}, {"GOMAXPROCS=7", "TZ=Asia/Tokyo", "LANG=de_DE.UTF-8"}} {
		if got := fmt.Sprint(digests(t, newProxy(t, u, proxyOptions{env: env}), tags...)); got != want {
			t.Errorf("with %v: %s, want %s", env, got, want)
		}
	}
}

// TestKilledDuringAJob kills the proxy when its store has so many objects, from the first layer's arrival to just before the
// tag.
func TestKilledDuringAJob(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	whole := newProxy(t, u, proxyOptions{})
	empty := stored(t, whole)
	want := digests(t, whole, "v1")
	full := stored(t, whole)
	want = append(want, digests(t, whole, "v2")...)
	for objects := empty; objects < full; objects += 3 {
		t.Run(fmt.Sprintf("%d of %d objects", objects-empty, full-empty), func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, u, proxyOptions{})
			left := p.pullInBackground(t.Context(), "v1")
			until(t, "the moment", func() bool { return stored(t, p) >= objects })
			p.Kill()
			<-left
			p.start()
			if got := digests(t, p, "v1", "v2"); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("after a restart: %v, want %v", got, want)
			}
			checkLayers(t, p.image("os/image:v2"), "application/vnd.oci.image.layer.v1.tar+zstd")
			checkNoLeftovers(t, p)
		})
	}
}

// TestKilledDuringAFetch kills the proxy while it has half of a source layer.
func TestKilledDuringAFetch(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	want := digests(t, newProxy(t, u, proxyOptions{}), "v1", "v2")
	h := u.holdBlobs(200_000)
	p := newProxy(t, u, proxyOptions{})
	left := p.pullInBackground(t.Context(), "v1")
	<-h.reached
	p.Kill()
	<-left
	h.release()
	p.start()
	if got := digests(t, p, "v1", "v2"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after a restart: %v, want %v", got, want)
	}
	checkNoLeftovers(t, p)
}

// hold lets an upstream stop in the middle of large blobs.
type hold struct {
	u       *upstream
	after   int
	reached chan struct{} // closed when a blob stopped
	once    chan struct{}
	open    chan struct{}
}

// holdBlobs makes blobs stop after so many bytes, until release. Smaller ones pass.
func (u *upstream) holdBlobs(after int) *hold {
	h := &hold{u: u, after: after, reached: make(chan struct{}), once: make(chan struct{}, 1), open: make(chan struct{})}
	u.setGate(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				w = &heldWriter{ResponseWriter: w, h: h, r: r, left: after}
			}
			next.ServeHTTP(w, r)
		})
	})
	return h
}

// release lets everything pass.
func (h *hold) release() {
	h.u.setGate(nil)
	close(h.open)
}

// heldWriter sends the first bytes and then waits.
type heldWriter struct {
	http.ResponseWriter
	h    *hold
	r    *http.Request
	left int
}

func (w *heldWriter) Write(b []byte) (int, error) {
	if len(b) <= w.left {
		w.left -= len(b)
		return w.ResponseWriter.Write(b)
	}
	n, err := w.ResponseWriter.Write(b[:w.left])
	if err != nil {
		return n, err
	}
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	select {
	case w.h.once <- struct{}{}:
		close(w.h.reached)
	default:
	}
	select {
	case <-w.h.open:
	case <-w.r.Context().Done():
		return n, io.ErrClosedPipe
	}
	w.left = 1 << 62
	m, err := w.ResponseWriter.Write(b[n:])
	return n + m, err
}

// TestKilledTwiceDuringAJob kills the proxy twice at the same image, as an image that takes all memory would: then it is
// left alone.
func TestKilledTwiceDuringAJob(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{})
	for range 2 {
		h := u.holdBlobs(200_000)
		left := p.pullInBackground(t.Context(), "v1")
		<-h.reached
		p.Kill()
		<-left
		h.release()
		p.start()
	}
	served, original := digests(t, p, "v1")[0], digest.FromBytes(rawManifest(t, u.host()+"/os/image:v1"))
	if served != original {
		t.Errorf("%s is served, the original is %s", served, original)
	}
	p.Log.Await(t, func(l programtest.Line) bool {
		return strings.Contains(fmt.Sprint(l["error"]), "the process ended while it was at this image")
	})
}
