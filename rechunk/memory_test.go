package rechunk_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// largeImage is a source image of one uncompressed layer with one file, which is made while it is read.
type largeImage struct {
	size   int64
	block  []byte
	config []byte
	layer  ocispec.Descriptor
}

func newLargeImage(tb testing.TB, size int64) (*largeImage, rechunk.Request) {
	tb.Helper()
	l := &largeImage{size: size, block: make([]byte, 64<<10)}
	rng := rand.NewChaCha8([32]byte{1})
	if _, err := rng.Read(l.block); err != nil {
		tb.Fatal(err)
	}
	sum := sha256.New()
	r := l.stream()
	n, err := io.Copy(sum, r)
	if err != nil {
		tb.Fatal(err)
	}
	l.layer = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.NewDigest(digest.SHA256, sum),
		Size: n}
	var c ocispec.Image
	c.OS, c.Architecture, c.Config.Labels = "linux", "amd64", map[string]string{"containers.bootc": "1"}
	c.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.layer.Digest}}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{l.layer}}
	m.SchemaVersion = 2
	if l.config, err = json.Marshal(c); err != nil {
		tb.Fatal(err)
	}
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(l.config),
		Size: int64(len(l.config))}
	raw, err := json.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return l, rechunk.Request{Lineage: "large", Digest: digest.FromBytes(raw), Manifest: raw, Source: l, Options: rules}
}

func (l *largeImage) stream() io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		t := tar.NewWriter(w)
		err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "large", Mode: 0o644, Size: l.size})
		for n := int64(0); n < l.size && err == nil; n += int64(len(l.block)) {
			_, err = t.Write(l.block)
		}
		if err == nil {
			err = t.Close()
		}
		w.CloseWithError(err)
	}()
	return r
}

func (l *largeImage) Blob(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if d.Digest == l.layer.Digest {
		return l.stream(), nil
	}
	return io.NopCloser(bytes.NewReader(l.config)), nil
}

// Memory does not grow with the image: neither what is held at a time nor what is allocated in all.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("passes 256 MiB")
	}
	const size, bound = 256 << 20, 64 << 20
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	_, req := newLargeImage(t, size)
	var peak atomic.Uint64
	var calls atomic.Int64
	req.Progress = func(rechunk.Progress) {
		if calls.Add(1)%256 != 0 {
			return
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		for {
			old := peak.Load()
			if m.HeapInuse <= old || peak.CompareAndSwap(old, m.HeapInuse) {
				return
			}
		}
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := b.Rechunk(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	t.Logf("allocated %d MiB in all, heap of %d MiB at most, blob of %d bytes", (after.TotalAlloc-before.TotalAlloc)>>20,
		peak.Load()>>20, r.TotalBytes)
	if n := after.TotalAlloc - before.TotalAlloc; n > bound {
		t.Errorf("%d bytes allocated for an image of %d, at most %d", n, size, bound)
	}
	if n := peak.Load(); n > before.HeapInuse+bound {
		t.Errorf("heap of %d bytes, %d before", n, before.HeapInuse)
	}
}

// Many small files take memory for the tree and for where their contents are, and neither for what the source's layers hold
// nor for what was read back. The test is not parallel: it looks at the heap of the whole process.
func TestMemoryOfManyFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("collects garbage in the middle of a run")
	}
	const files, perFile = 20_000, 330
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	items := []Item{Dir("."), Dir("usr")}
	for i := range files {
		if i%100 == 0 {
			items = append(items, Dir(fmt.Sprintf("usr/d%d", i/100)))
		}
		items = append(items, File(fmt.Sprintf("usr/d%d/f%d", i/100, i), fmt.Sprint(i)))
	}
	img := source(t, items)
	items = nil
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, after := heap(), uint64(0)
	req := img.Request("test", rules)
	req.Progress = func(p rechunk.Progress) {
		if p.Phase == "verify" {
			after = heap()
		}
	}
	if _, err := b.Rechunk(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes for each of %d files", int64(after-before)/files, files)
	if after > before+files*perFile {
		t.Errorf("%d bytes for each of %d files, at most %d", (after-before)/files, files, perFile)
	}
	runtime.KeepAlive(img)
}
