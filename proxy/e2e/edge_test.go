package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/programtest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// wire is a way to a server that counts what comes back over it.
type wire struct {
	address string
	bytes   atomic.Int64
	// cut, when set, ends each connection after so many bytes.
	cut atomic.Int64
	// to is the server's address.
	to atomic.Value
}

// newWire leads to a server's address.
func newWire(tb testing.TB, to string) *wire {
	tb.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	w := &wire{address: listener.Addr().String()}
	w.to.Store(to)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.lead(ctx, in) })
		}
	})
	tb.Cleanup(func() {
		stop()
		_ = listener.Close()
		running.Wait()
	})
	return w
}

func (w *wire) lead(ctx context.Context, in net.Conn) {
	defer in.Close()
	var d net.Dialer
	out, err := d.DialContext(ctx, "tcp", w.to.Load().(string))
	if err != nil {
		return
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { _, _ = in.Close(), out.Close() })()
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	var back io.Reader = out
	if n := w.cut.Load(); n > 0 {
		back = io.LimitReader(out, n)
	}
	_, _ = io.Copy(io.MultiWriter(in, writerFunc(func(p []byte) { w.bytes.Add(int64(len(p))) })), back)
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// patient are the keys of an edge that takes as few bytes as it can.
const patient = "deltas: {wait: 2m, prefer: bytes}\n"

// pullThrough fetches an image as hosts do, all of it, and returns its manifest. What has another digest fails, and nothing
// is tried again.
func pullThrough(ctx context.Context, tb testing.TB, image string) ([]byte, error) {
	tb.Helper()
	img, err := remote.Image(reference(tb, image), remote.WithContext(ctx),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(3)
	for _, l := range layers {
		g.Go(func() error { return readLayer(l) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return img.RawManifest()
}

func readLayer(l v1.Layer) error {
	want, err := l.Digest()
	if err != nil {
		return err
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	sum := digest.Canonical.Digester()
	if _, err := io.Copy(sum.Hash(), r); err != nil {
		return err
	}
	if got := sum.Digest().String(); got != want.String() {
		return fmt.Errorf("layer %s has the digest %s", want, got)
	}
	return nil
}

// pulled pulls a tag of os/image through an edge, and checks that it is the central's.
func pulled(tb testing.TB, central, edge *proxy, tag string) {
	tb.Helper()
	got, err := pullThrough(tb.Context(), tb, edge.image("os/image:"+tag))
	if err != nil {
		tb.Fatal(err)
	}
	if want := rawManifest(tb, central.image("os/image:"+tag)); string(got) != string(want) {
		tb.Errorf("%s is another image at the edge", tag)
	}
}

// firmware makes three versions of an image whose files change in places, as what compilers and databases write does.
func firmware(tb testing.TB) [3]sourceImage {
	tb.Helper()
	var out [3]sourceImage
	for v := range out {
		rng := rand.New(rand.NewPCG(7, 7))
		items := []treetest.Item{treetest.Dir("usr"), treetest.Dir("usr/lib")}
		for i := range 24 {
			b := make([]byte, 100_000+rng.IntN(100_000))
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
			if i < 8*v {
				copy(b[20_000:], fmt.Sprintf("version %d of file %d", v, i))
				b = append(b, fmt.Sprint("built ", v)...)
			}
			items = append(items, treetest.File(fmt.Sprintf("usr/lib/f%02d", i), string(b)))
		}
		out[v] = sourceImage{
			layers: [][]byte{treetest.Gzip(tb, treetest.Tar(tb, items...))},
			labels: map[string]string{"containers.bootc": "1", "org.opencontainers.image.version": fmt.Sprint(v)},
		}
	}
	return out
}

// An edge serves what its central does, to the byte, and of updates only what is new in them comes over the wire.
func TestEdge(t *testing.T) {
	t.Parallel()
	central := newProxy(t, pushSeries(t, firmware(t)), proxyOptions{})
	w := newWire(t, central.Clients)
	edge := newProxy(t, nil, proxyOptions{via: w.address, top: patient})
	pulled(t, central, edge, "v1")
	for i, tag := range []string{"v2", "v3"} {
		before := w.bytes.Load()
		pulled(t, central, edge, tag)
		now := manifest(t, edge.image("os/image:"+tag))
		update := layersSize(now, manifest(t, edge.image(fmt.Sprint("os/image:v", i+1))))
		took := w.bytes.Load() - before
		t.Logf("%s: %d bytes over the wire, its new layers have %d", tag, took, update)
		if took >= update/2 { // manifests and configs are some of it
			t.Errorf("%s: %d bytes came over the wire, its new layers have %d", tag, took, update)
		}
	}
	if edge.Metric(`strata_edge_layers_total{how="delta",reason=""}`) == 0 ||
		edge.Metric("strata_edge_saved_bytes_total") == 0 {
		t.Error("no layer came as a delta")
	}
	// Without the central, what is stored is served.
	central.Kill()
	if _, err := pullThrough(t.Context(), t, edge.image("os/image:v3")); err != nil {
		t.Error(err)
	}
}

// An edge on a host makes layers of the host's own files, and keeps none.
func TestEdgeOnHost(t *testing.T) {
	t.Parallel()
	images := firmware(t)
	central := newProxy(t, pushSeries(t, images), proxyOptions{})
	had := digests(t, central, "v1")[0]
	root := t.TempDir()
	unpackInto(t, root, images[0].layers[0])
	w := newWire(t, central.Clients)
	edge := newProxy(t, nil, proxyOptions{via: w.address, top: patient +
		fmt.Sprintf("seeds: [{root: %s, image: %s}]\n", root, had)})
	pulled(t, central, edge, "v2")
	if n := layersSize(manifest(t, edge.image("os/image:v2"))); w.bytes.Load() >= n/2 {
		t.Errorf("%d bytes came over the wire, the image has %d", w.bytes.Load(), n)
	}
	if edge.Metric(`strata_edge_layers_total{how="delta",reason=""}`) == 0 ||
		edge.Metric("strata_edge_saved_bytes_total") == 0 {
		t.Error("no layer is counted as one that came as a delta")
	}
	for _, path := range files(t, filepath.Join(edge.dir, "data")) {
		if info, err := os.Stat(path); err == nil && info.Size() > 100_000 {
			t.Errorf("%s with %d bytes is kept", path, info.Size())
		}
	}
}

// unpackInto writes the regular files of a layer below a directory.
func unpackInto(tb testing.TB, dir string, layer []byte) {
	tb.Helper()
	z, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		tb.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(r)
		path := filepath.Join(dir, h.Name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// An edge behind an edge.
func TestEdgeChain(t *testing.T) {
	t.Parallel()
	central := newProxy(t, pushSeries(t, firmware(t)), proxyOptions{})
	region := newProxy(t, nil, proxyOptions{via: central.Clients, top: patient})
	w := newWire(t, region.Clients)
	site := newProxy(t, nil, proxyOptions{via: w.address, top: patient})
	for _, tag := range []string{"v1", "v2", "v3"} {
		pulled(t, central, site, tag)
	}
	if site.Metric(`strata_edge_layers_total{how="delta",reason=""}`) == 0 {
		t.Error("no layer came as a delta")
	}
}

// An edge whose central is a registry like any other is a mirror, and says so once.
func TestEdgeOfRegistry(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	for i, image := range firmware(t) {
		u.push(fmt.Sprint(upstreamHost, "/os/image:v", i+1), image)
	}
	edge := newProxy(t, nil, proxyOptions{via: u.host(), top: patient})
	for _, tag := range []string{"v1", "v2", "v3"} {
		got, err := pullThrough(t.Context(), t, edge.image("os/image:"+tag))
		if err != nil {
			t.Fatal(err)
		}
		if want := rawManifest(t, u.host()+"/"+upstreamHost+"/os/image:"+tag); string(got) != string(want) {
			t.Errorf("%s is another image at the edge", tag)
		}
	}
	said := edge.Log.Find(func(l programtest.Line) bool {
		return strings.Contains(fmt.Sprint(l["msg"]),
			"an ordinary mirror")
	})
	if len(said) != 1 {
		t.Errorf("it says %d times that the central is no Strata", len(said))
	}
}

// Whatever becomes of the connection, of either side, and of the edge's own layers: hosts get the right image, now or at the
// next try.
func TestEdgeSurvives(t *testing.T) {
	t.Parallel()
	central := newProxy(t, pushSeries(t, firmware(t)), proxyOptions{})
	w := newWire(t, central.Clients)
	edge := newProxy(t, nil, proxyOptions{via: w.address, top: patient})
	pulled(t, central, edge, "v1")
	rng := rand.New(rand.NewPCG(1, 2))

	// The wire breaks again and again, at any place.
	w.cut.Store(40_000 + rng.Int64N(20_000))
	_, err := pullThrough(t.Context(), t, edge.image("os/image:v2"))
	t.Log("over a wire that breaks:", err)
	w.cut.Store(0)

	// The edge is killed in the middle.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	before := w.bytes.Load()
	go func() {
		_, err := pullThrough(ctx, t, edge.image("os/image:v3"))
		done <- err
	}()
	until(t, "some bytes", func() bool { return w.bytes.Load() > before+1000 || len(done) > 0 })
	edge.Kill()
	cancel()
	t.Log("of an edge that is killed:", <-done)
	edge.start()
	checkNoLeftovers(t, edge)
	pulled(t, central, edge, "v2")

	// The central is.
	before = w.bytes.Load()
	go func() {
		_, err := pullThrough(t.Context(), t, edge.image("os/image:v3"))
		done <- err
	}()
	until(t, "some bytes", func() bool { return w.bytes.Load() > before+1000 || len(done) > 0 })
	central.Kill()
	t.Log("of a central that is killed:", <-done)
	central.start()
	checkNoLeftovers(t, central)
	w.to.Store(central.Clients)
	pulled(t, central, edge, "v2")

	// What lies in its store is altered, cut and removed.
	for _, path := range files(t, filepath.Join(edge.dir, "data")) {
		info, err := os.Stat(path)
		if err != nil || !strings.Contains(path, "blobs") || info.Size() < 10_000 || rng.IntN(2) == 0 {
			continue
		}
		damage(t, path, info.Size(), rng)
	}
	edge.Kill()
	edge.start() // what was read in memory is gone, too
	pulled(t, central, edge, "v3")
}

// damage alters, cuts or removes a file.
func damage(tb testing.TB, path string, size int64, rng *rand.Rand) {
	tb.Helper()
	var err error
	switch rng.IntN(3) {
	case 0:
		err = os.Truncate(path, rng.Int64N(size))
	case 1:
		err = os.Remove(path)
	default:
		var b []byte
		if b, err = os.ReadFile(path); err == nil {
			b[rng.Int64N(size)] ^= 0x55
			err = os.WriteFile(path, b, 0o600)
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
}
