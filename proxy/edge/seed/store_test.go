package seed_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
	"github.com/strata-oci/strata/rechunk/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blobs are stored layers; reads counts how often each was opened.
type blobs struct {
	mu    sync.Mutex
	bytes map[digest.Digest][]byte
	reads map[digest.Digest]int
}

func (b *blobs) Open(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads[d]++
	body, ok := b.bytes[d]
	if !ok {
		return nil, fmt.Errorf("%s is not stored", d)
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

func file(layer int, path, body string) delta.File {
	return delta.File{Path: path, Size: int64(len(body)), Digest: tree.Digest(sha256.Sum256([]byte(body))), Layer: layer}
}

// twoLayers are an image, with a Store that has it.
func twoLayers(t *testing.T, space scan.Space) (*seed.Store, *blobs, []digest.Digest) {
	t.Helper()
	b := &blobs{bytes: map[digest.Digest][]byte{}, reads: map[digest.Digest]int{}}
	var layers []digest.Digest
	for n := range 2 {
		var items []Item
		for i := range 50 {
			items = append(items, File(fmt.Sprintf("usr/%d-%d", n, i), body(n, i)))
		}
		raw := Tar(t, items...)
		layers = append(layers, digest.FromBytes(raw))
		b.bytes[digest.FromBytes(raw)] = raw
	}
	s := seed.NewStore(seed.StoreOptions{Layers: b, Dir: t.TempDir(), Space: space})
	t.Cleanup(s.Close)
	return s, b, layers
}

func body(layer, n int) string { return strings.Repeat(fmt.Sprintf("%d/%d ", layer, n), 1000+n) }

func read(t *testing.T, files seed.Files, f delta.File) string {
	t.Helper()
	c, err := files.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestStore(t *testing.T) {
	t.Parallel()
	s, b, layers := twoLayers(t, nil)
	named := []delta.File{
		file(0, "usr/0-3", body(0, 3)), file(0, "usr/0-40", body(0, 40)), file(1, "usr/1-7", body(1, 7)),
		file(1, "usr/second/name", body(1, 30)), // of a file that is known by another one, too
		file(0, "usr/nothing", "nothing"), file(0, "usr/0-5", "altered"), file(7, "usr/0-3", "no such layer"),
	}
	files, err := s.Open(t.Context(), "sha256:image", layers, named)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for i, want := range []string{body(0, 3), body(0, 40), body(1, 7), body(1, 30)} {
		if got := read(t, files, named[i]); got != want {
			t.Errorf("%s has %d bytes, want %d", named[i].Path, len(got), len(want))
		}
	}
	for _, f := range named[4:] {
		if _, err := files.Open(t.Context(), f); !errors.Is(err, delta.ErrSource) {
			t.Errorf("%s: %v", f.Path, err)
		}
	}
	// The next layer of the pull needs some of the same files.
	again, err := s.Open(t.Context(), "sha256:image", layers, named[:3])
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, again, named[1]); got != body(0, 40) {
		t.Error("another file")
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	for _, d := range layers {
		if b.reads[d] != 1 {
			t.Errorf("a layer was read %d times", b.reads[d])
		}
	}
}

// Many who use one image at the same time, and leave in the middle.
func TestStoreShared(t *testing.T) {
	t.Parallel()
	s, _, layers := twoLayers(t, nil)
	var users sync.WaitGroup
	for n := range 20 {
		users.Go(func() {
			f := file(n%2, fmt.Sprintf("usr/%d-%d", n%2, n), body(n%2, n))
			files, err := s.Open(t.Context(), "sha256:image", layers, []delta.File{f})
			if err != nil {
				t.Error(err)
				return
			}
			if n%5 > 0 {
				c, err := files.Open(t.Context(), f)
				if err != nil {
					t.Error(err)
				} else if c.Size() != f.Size {
					t.Errorf("%d bytes", c.Size())
				}
			}
			if err := files.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	users.Wait()
}

func TestStoreFails(t *testing.T) {
	t.Parallel()
	f := file(0, "usr/0-3", body(0, 3))
	s, b, layers := twoLayers(t, workspace.New(100))
	files, err := s.Open(t.Context(), "sha256:image", layers, []delta.File{f})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.Open(t.Context(), f); errors.Is(err, delta.ErrSource) || !errors.Is(err, seed.ErrUnreadable) ||
		!errors.Is(err, scan.ErrSpoolFull) {
		t.Errorf("without room: %v", err)
	}
	_ = files.Close()
	b.bytes[layers[0]] = b.bytes[layers[0]][:700]
	s2 := seed.NewStore(seed.StoreOptions{Layers: b, Dir: t.TempDir()})
	if files, err = s2.Open(t.Context(), "sha256:image", layers, []delta.File{f}); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Open(t.Context(), f); !errors.Is(err, delta.ErrSource) || !errors.Is(err, tree.ErrInvalid) {
		t.Errorf("of a cut layer: %v", err)
	}
	s2.Close()
	_ = files.Close()
	if _, err := s2.Open(t.Context(), "sha256:image", layers, nil); !errors.Is(err, seed.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
