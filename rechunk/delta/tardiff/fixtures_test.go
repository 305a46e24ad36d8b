package tardiff_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/tardiff"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// held are contents in memory, as a seed's.
type held Contents

func (h held) Open(_ context.Context, f delta.File) (delta.Content, error) {
	body, ok := h[f.Digest]
	if !ok {
		return nil, fmt.Errorf("%w: %s", delta.ErrSource, f.Path)
	}
	return text{strings.NewReader(body)}, nil
}

// text is a content in memory.
type text struct{ *strings.Reader }

func (text) Close() error { return nil }

// image is a filesystem with its contents.
type image struct {
	tree     *tree.Tree
	contents held
}

// newImage flattens items to a filesystem.
func newImage(tb testing.TB, items ...Item) image {
	tb.Helper()
	contents := Contents{}
	for _, i := range items {
		contents.Add(i.Body)
	}
	return image{Tree(tb, items), held(contents)}
}

// target is a layer of items.
func target(tb testing.TB, items ...Item) (delta.Target, []byte) {
	tb.Helper()
	stream := Tar(tb, items...)
	return targetOf(stream, Index(tb, items...).Entries), stream
}

func targetOf(stream []byte, entries []tree.Entry) delta.Target {
	return delta.Target{Tar: bytes.NewReader(stream), TarSize: int64(len(stream)), Entries: entries,
		DiffID: digest.FromBytes(stream)}
}

// make is the tar-diff of a target.
func makeDiff(tb testing.TB, t delta.Target, old image, v tardiff.Version) ([]byte, delta.Report) {
	tb.Helper()
	var out bytes.Buffer
	r, err := tardiff.Make(tb.Context(), &out, t, tardiff.Nameable(old.tree),
		tardiff.Options{Version: v, Contents: old.contents})
	if err != nil {
		tb.Fatal(err)
	}
	sum := r.Headers
	for _, i := range r.Items {
		sum += i.Bytes
	}
	if r.Size != int64(out.Len()) || sum != r.Size {
		tb.Errorf("%d bytes, the report says %d and adds up to %d", out.Len(), r.Size, sum)
	}
	return out.Bytes(), r
}

// apply applies a tar-diff.
func apply(tb testing.TB, diff []byte, old image) ([]byte, error) {
	tb.Helper()
	var out bytes.Buffer
	n, err := tardiff.Apply(tb.Context(), &out, bytes.NewReader(diff), tardiff.NewFiles(old.tree, old.contents),
		tardiff.ApplyOptions{Most: 1 << 26})
	if n < int64(out.Len()) {
		tb.Errorf("%d bytes were written, %d counted", out.Len(), n)
	}
	return out.Bytes(), err
}

var versions = []tardiff.Version{tardiff.V1, tardiff.V2}

// program is a body such as a program's: noise that repeats itself a little.
func program(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// rebuilt is a body as another build has it: bytes changed here and there, some inserted, some gone.
func rebuilt(seed uint64, body string) string {
	r := rand.New(rand.NewPCG(seed, 2))
	b := []byte(body)
	for range len(b) / 500 {
		b[r.IntN(len(b))]++
	}
	at := r.IntN(len(b) / 2)
	b = append(b[:at:at], append([]byte("inserted"), b[at+5:]...)...)
	return string(b)
}

var _ io.ReaderAt = text{}
