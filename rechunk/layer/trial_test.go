package layer_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// single is a tree of one file.
func single(body string) (*tree.Tree, Contents) {
	contents := Contents{}
	return &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Kind: tree.Dir, Mode: 0o755},
		{Path: "file", Kind: tree.Regular, Mode: 0o644, Size: int64(len(body)), Digest: contents.Add(body)},
	}}, contents
}

// random is a content that does not compress.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

// TestTrial looks at which level layers got, by the window that their frames ask for.
func TestTrial(t *testing.T) {
	t.Parallel()
	const high, low = 8 << 20, 2 << 20
	// A block that comes again beyond the lower level's window is what the higher one gains by.
	block := random(3 << 20)
	for _, c := range []struct {
		name, body string
		window     uint64
	}{
		{"small, nothing gained", random(16 << 20), high},
		{"large, nothing gained", random(32 << 20), low},
		{"large, much gained", strings.Repeat(block, 11), high},
		{"large, much gained but not at its beginning", random(8<<20) + strings.Repeat(block, 8), low},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			full, contents := single(c.body)
			w, err := layer.NewWriter(layer.Zstd)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			blob, err := w.Write(t.Context(), &b, full, all(full), contents)
			if err != nil {
				t.Fatal(err)
			}
			var h zstd.Header
			if err := h.Decode(b.Bytes()); err != nil || h.WindowSize != c.window {
				t.Errorf("window of %d bytes (%v), want %d", h.WindowSize, err, c.window)
			}
			if items := unpack(t, b.Bytes()); len(items) != 2 || items[1].Body != c.body {
				t.Error("the layer does not hold the file")
			}
			least, err := layer.Write(t.Context(), io.Discard, full, all(full), contents, layer.Zstd)
			if err != nil || least.Size > blob.Size || c.window == high && least != blob {
				t.Errorf("%+v, at the higher level %+v (%v)", blob, least, err)
			}
			var again bytes.Buffer
			if _, err := w.Write(t.Context(), &again, full, all(full), contents); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
				t.Errorf("written again, the layer differs (%v)", err)
			}
		})
	}
}
