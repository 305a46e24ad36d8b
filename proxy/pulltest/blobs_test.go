package pulltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

func (u *fakeUpstream) putBlob(b []byte) digest.Digest {
	u.mu.Lock()
	defer u.mu.Unlock()
	d := digest.FromBytes(b)
	u.blobs[d] = b
	return d
}

func bigBlob() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 1<<16) }

func TestColdBlobIsFetchedOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	d := h.up.putBlob(bigBlob())
	release := h.up.hold(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { h.blob(d) })
	}
	release()
	wg.Wait()
	if n := h.up.count("GET blobs"); n != 1 {
		t.Errorf("%d downloads", n)
	}
	b, err := h.Images.OpenBlob(t.Context(), testRepo, d)
	if err != nil || b.Origin() != registry.FromStore {
		t.Fatalf("%v, %v", b, err)
	}
	b.Close()
}

func TestStatDoesNotDownload(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	d := h.up.putBlob(bigBlob())
	n, err := h.Images.StatBlob(t.Context(), testRepo, d)
	if err != nil || n != int64(len(bigBlob())) {
		t.Errorf("size %d, %v", n, err)
	}
	if n := h.up.count("GET blobs"); n != 0 {
		t.Errorf("%d downloads", n)
	}
	_, err = h.Images.StatBlob(t.Context(), testRepo, digest.FromString("nothing"))
	if e := asClientError(t, err); e.Status != 404 || e.Code != "BLOB_UNKNOWN" {
		t.Errorf("unknown blob: %v", e)
	}
}

func TestSeekInColdBlob(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	content := bigBlob()
	b, err := h.Images.OpenBlob(t.Context(), testRepo, h.up.putBlob(content))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Origin() != registry.FromUpstream {
		t.Errorf("origin %s", b.Origin())
	}
	for _, off := range []int64{700_001, 5, int64(len(content)) - 3} {
		if _, err := b.Seek(off, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, min(100, int64(len(content))-off))
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, content[off:off+int64(len(got))]) {
			t.Errorf("at %d: %q, %v", off, got, err)
		}
	}
}

func TestDownloadGoesOnWithoutItsClient(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	d := h.up.putBlob(bigBlob())
	ctx, leave := context.WithCancel(t.Context())
	b, err := h.Images.OpenBlob(ctx, testRepo, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(b, make([]byte, 1)); err != nil { // what has not begun ends
		t.Fatal(err)
	}
	leave()
	b.Close()
	h.blob(d)
	if n := h.up.count("GET blobs"); n != 1 {
		t.Errorf("%d downloads", n)
	}
}

func TestBrokenDownloadIsResumed(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	content := bigBlob()
	d := h.up.putBlob(content)
	var once sync.Once
	h.up.fail(func(w http.ResponseWriter, _ *http.Request) (handled bool) {
		once.Do(func() {
			w.Header().Set("Content-Length", "1048576")
			_, _ = w.Write(content[:300_000])
			handled = true
		})
		return handled
	})
	if got := h.blob(d); !bytes.Equal(got, content) {
		t.Error("wrong bytes")
	}
	if n := h.up.count("GET blobs"); n != 2 {
		t.Errorf("%d requests, want the first and its continuation", n)
	}
}

func TestWrongBytesNeverEndWell(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	content := bigBlob()
	d := h.up.putBlob(content)
	wrong := bytes.Clone(content)
	wrong[500_000] ^= 1
	h.up.mu.Lock()
	h.up.blobs[d] = wrong
	h.up.mu.Unlock()
	var got []byte
	b, err := h.Images.OpenBlob(t.Context(), testRepo, d)
	if err == nil { // the download may have failed already
		got, err = io.ReadAll(b)
		b.Close()
	}
	if err == nil || len(got) >= len(content) {
		t.Fatalf("%d of %d bytes, error %v", len(got), len(content), err)
	}
	if _, err := h.chunks.Stat(t.Context(), d); err == nil {
		t.Error("wrong bytes are stored")
	}
	h.up.putBlob(content)
	h.blob(d)
}

func TestOriginOfServedBlobs(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	m := h.pull("stable", registry.Rechunked)
	for _, d := range content.BlobsOf(m.Bytes) {
		b, err := h.Images.OpenBlob(t.Context(), testRepo, d)
		if err != nil || b.Origin() != registry.MadeHere {
			t.Fatalf("%v, %v", b, err)
		}
		b.Close()
	}
	for d := range h.up.blobs {
		h.awaitStored(d) // the job may have read its end a moment before
		b, err := h.Images.OpenBlob(t.Context(), testRepo, d)
		if err != nil || b.Origin() != registry.FromStore {
			t.Fatalf("source blob: %v, %v", b, err)
		}
		b.Close()
	}
}

// A manifest that lies about a layer's size is not rechunked, whether the layer is stored already or not.
func TestLyingSize(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		h := newHarness(t)
		img := bootable(t, "one")
		d := img.push(t, h.up)
		if stored {
			for _, l := range img.layers {
				h.blob(digest.FromBytes(l))
			}
		}
		doc := h.up.manifests[d]
		size := []byte(`"size":` + strconv.Itoa(len(img.layers[1])))
		lie := h.up.put(document{doc.mediaType,
			bytes.Replace(doc.bytes, size, []byte(`"size":`+strconv.Itoa(len(img.layers[1])+1)), 1)})
		if lie == d {
			t.Fatal("the manifest is unchanged")
		}
		h.up.tag("stable", lie)
		h.pull("stable", registry.Original)
	}
}

func TestBlobAfterClose(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	d := h.up.putBlob(bigBlob())
	if err := errors.Join(h.Close(t.Context()), h.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	before := h.up.total()
	_, err := h.Images.OpenBlob(t.Context(), testRepo, d)
	if e := asClientError(t, err); e.Status != 503 || !strings.Contains(e.Message, "shutting down") {
		t.Errorf("got %v", e)
	}
	if e := h.pullError("stable"); e.Status != 503 {
		t.Errorf("got %v", e)
	}
	if n := h.up.total() - before; n != 0 {
		t.Errorf("%d requests after Close", n)
	}
}

// A layer is no manifest, and asking for it as one does it no harm.
func TestLayerAskedForAsManifest(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, size := range []int{100, image.MaxDocument + 1} {
		d := h.up.putBlob(bytes.Repeat([]byte("x"), size))
		h.blob(d)
		h.awaitStored(d)
		_, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(d))
		if e := asClientError(t, err); e.Status != 404 {
			t.Errorf("%d bytes: %v", size, e)
		}
		if _, err := h.chunks.Stat(t.Context(), d); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// Clients that want the same manifest by digest at the same time cost one download.
func TestColdManifestIsFetchedOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	d := bootable(t, "one").push(t, h.up)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if m, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(d)); err != nil || m.Digest != d ||
				m.Served != registry.Original {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
	wg.Wait()
	if n := h.up.count("GET manifests"); n != 1 {
		t.Errorf("%d downloads", n)
	}
}
