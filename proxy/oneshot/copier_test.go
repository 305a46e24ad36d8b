package oneshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk"
)

// destination keeps digests, and fails the first time that it is given some of them.
type destination struct {
	mu    sync.Mutex
	fails map[digest.Digest]bool
	puts  []digest.Digest
	has   map[digest.Digest]bool
}

func (d *destination) Has(_ context.Context, of digest.Digest) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.has[of], nil
}

func (d *destination) PutBlob(_ context.Context, desc ocispec.Descriptor, r io.Reader) error {
	if n, err := io.Copy(io.Discard, r); n != desc.Size || err != nil {
		return fmt.Errorf("%d bytes, %w", n, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails[desc.Digest] {
		delete(d.fails, desc.Digest)
		return errors.New("fails once")
	}
	d.puts = append(d.puts, desc.Digest)
	d.has[desc.Digest] = true
	return nil
}

func (d *destination) PutManifest(context.Context, string, []byte) error { return nil }

func (d *destination) Close() error { return nil }

// Layers that were copied early are not copied again, unless that failed.
func TestCopier(t *testing.T) {
	t.Parallel()
	chunks, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(content string) ocispec.Descriptor {
		d, err := chunks.Put(t.Context(), []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		return ocispec.Descriptor{Digest: d, Size: int64(len(content))}
	}
	m := ocispec.Manifest{Config: put("config")}
	for i := range 20 {
		m.Layers = append(m.Layers, put(fmt.Sprint("layer ", i)))
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	out := &destination{has: map[digest.Digest]bool{},
		fails: map[digest.Digest]bool{m.Layers[3].Digest: true, m.Layers[15].Digest: true}}
	c := newCopier(&workplace{chunks: chunks, store: state.New(chunks, nil, nil)}, out)
	for _, l := range m.Layers[:10] {
		c.early(t.Context(), l)
	}
	c.wait()
	if len(out.puts) != 9 {
		t.Errorf("%d layers copied early", len(out.puts))
	}
	result := &rechunk.Result{Digest: put(string(raw)).Digest}
	if err := c.image(t.Context(), result); err == nil {
		t.Error("a failure was passed over")
	}
	if err := c.image(t.Context(), result); err != nil {
		t.Fatal(err)
	}
	want := []digest.Digest{m.Config.Digest}
	for _, l := range m.Layers {
		want = append(want, l.Digest)
	}
	slices.Sort(want)
	slices.Sort(out.puts)
	if diff := cmp.Diff(want, out.puts); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// startWorkplace is a workplace on a directory of its own with one content, and its descriptor.
func startWorkplace(t *testing.T, temp bool, content string) (*workplace, ocispec.Descriptor) {
	t.Helper()
	w := &workplace{dir: t.TempDir(), temp: temp}
	if err := w.start(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.close() })
	d, err := w.chunks.Put(t.Context(), []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return w, ocispec.Descriptor{Digest: d, Size: int64(len(content))}
}

// newLayout is an empty layout to copy to, and its directory.
func newLayout(t *testing.T) (imageref.Destination, string) {
	t.Helper()
	dir := t.TempDir()
	to, err := imageref.Parse("oci:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := to.Create(t.Context(), imageref.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out, dir
}

// stored is the file that a content lies in.
func stored(t *testing.T, w *workplace, d digest.Digest) string {
	t.Helper()
	content, err := w.chunks.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := content.File()
	if !ok {
		t.Fatal("content is no file")
	}
	if err := content.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// A temporary store's files become the layout's; of one that stays, the layout gets copies.
func TestCopierLinks(t *testing.T) {
	t.Parallel()
	for _, temp := range []bool{true, false} {
		w, d := startWorkplace(t, temp, "layer")
		out, dir := newLayout(t)
		if err := newCopier(w, out).blob(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		of, err := os.Stat(stored(t, w, d.Digest))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.Stat(filepath.Join(dir, "blobs", "sha256", d.Digest.Encoded()))
		if err != nil || os.SameFile(of, got) != temp {
			t.Errorf("temporary store: %t, linked: %t, %v", temp, os.SameFile(of, got), err)
		}
	}
}

// Content that rotted in the store is not copied, and is put into quarantine.
func TestCopierDropsDamage(t *testing.T) {
	t.Parallel()
	w, d := startWorkplace(t, false, "layer")
	if err := os.WriteFile(stored(t, w, d.Digest), []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := newLayout(t)
	err := newCopier(w, out).blob(t.Context(), d)
	if !errors.Is(err, verify.ErrMismatch) || !errors.Is(err, chunkstore.ErrCorrupt) {
		t.Errorf("damaged content was copied: %v", err)
	}
	if has, err := w.store.Has(t.Context(), d.Digest); has || err != nil {
		t.Errorf("damaged content is still there: %t, %v", has, err)
	}
	aside := 0
	if err := w.chunks.WalkQuarantine(t.Context(), func(chunkstore.Quarantined) error { aside++; return nil }); err != nil ||
		aside != 1 {
		t.Errorf("%d objects in quarantine, %v", aside, err)
	}
}
