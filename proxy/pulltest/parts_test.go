package pulltest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/registry"
)

// slowBlob is a blob of 32 MiB whose download stands still after its first bytes until it is let go.
type slowBlob struct {
	content       []byte
	digest        digest.Digest
	whole, ranged atomic.Int64
	release       func()
}

func newSlowBlob(t *testing.T, h *harness, ranges bool) *slowBlob {
	t.Helper()
	b := &slowBlob{content: bytes.Repeat(bigBlob(), 32)}
	for i := range len(b.content) / 4096 { // every page is different
		copy(b.content[i*4096:], strconv.Itoa(i))
	}
	b.digest = h.up.putBlob(b.content)
	gate := make(chan struct{})
	b.release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(b.release)
	h.up.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		if r.Header.Get("Range") != "" {
			b.ranged.Add(1)
			if ranges {
				return false
			}
		} else {
			b.whole.Add(1)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(b.content)))
		_, _ = w.Write(b.content[:100_000])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-gate:
		case <-r.Context().Done():
			return true
		}
		_, _ = w.Write(b.content[100_000:])
		return true
	})
	return b
}

// read reads a part of a blob.
func (h *harness) read(t *testing.T, d digest.Digest, off, length int) []byte {
	t.Helper()
	b, err := h.Images.OpenBlob(t.Context(), testRepo, d)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Seek(int64(off), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, length)
	if _, err := io.ReadFull(b, got); err != nil {
		t.Fatalf("%d bytes at %d: %v", length, off, err)
	}
	return got
}

// A range far ahead of the download does not wait for it, and many that want it cost the upstream one request for each part.
func TestRangeFarAhead(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := newSlowBlob(t, h, true)
	end := len(b.content)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := h.read(t, b.digest, end-1000, 1000); !bytes.Equal(got, b.content[end-1000:]) {
				t.Error("wrong bytes at the end")
			}
			at := 20<<20 - 500 // on both sides of a part's end
			if got := h.read(t, b.digest, at, 1000); !bytes.Equal(got, b.content[at:at+1000]) {
				t.Error("wrong bytes in the middle")
			}
		})
	}
	wg.Wait()
	if whole, ranged := b.whole.Load(), b.ranged.Load(); whole != 1 || ranged != 3 {
		t.Errorf("%d downloads and %d requests for parts, want 1 and 3", whole, ranged)
	}
	b.release()
	if got := h.blob(b.digest); !bytes.Equal(got, b.content) {
		t.Error("wrong blob")
	}
	if b.whole.Load() != 1 {
		t.Errorf("%d downloads", b.whole.Load())
	}
}

// A reader that is ahead comes back to the download when that has caught up.
func TestDownloadCatchesUp(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := newSlowBlob(t, h, true)
	r, err := h.Images.OpenBlob(t.Context(), testRepo, b.digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const at = 16 << 20
	if _, err := r.Seek(at, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1000)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	b.release()
	h.awaitStored(b.digest)
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(first, rest...), b.content[at:]) {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
	if n := b.ranged.Load(); n != 1 {
		t.Errorf("%d requests for parts", n)
	}
}

// An upstream that ignores ranges is asked for one part, not for one by each reader; they wait for the download.
func TestRangesIgnored(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := newSlowBlob(t, h, false)
	end := len(b.content)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if got := h.read(t, b.digest, end-1000, 1000); !bytes.Equal(got, b.content[end-1000:]) {
				t.Error("wrong bytes")
			}
		})
	}
	for b.ranged.Load() == 0 {
		h.read(t, b.digest, 0, 10)
	}
	b.release()
	wg.Wait()
	if whole, ranged := b.whole.Load(), b.ranged.Load(); whole != 1 || ranged != 1 {
		t.Errorf("%d downloads and %d requests for parts, want 1 and 1", whole, ranged)
	}
}

// The size of a blob that is on its way is known.
func TestStatOfIncomingBlob(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := newSlowBlob(t, h, true)
	r, err := h.Images.OpenBlob(t.Context(), testRepo, b.digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := h.Images.StatBlob(t.Context(), testRepo, b.digest)
	if err != nil || n != int64(len(b.content)) {
		t.Errorf("size %d, %v", n, err)
	}
	if n := h.up.count("HEAD blobs"); n != 0 {
		t.Errorf("%d requests for the size", n)
	}
	if r.Origin() != registry.FromUpstream {
		t.Errorf("origin %s", r.Origin())
	}
}
