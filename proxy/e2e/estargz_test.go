package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// lazyLayer is a layer at a registry as the stargz snapshotter reads it: the places that it needs, by ranges.
type lazyLayer struct {
	t    *testing.T
	url  string
	read int64
}

// ReadAt implements io.ReaderAt.
func (l *lazyLayer) ReadAt(p []byte, at int64) (int, error) {
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, l.url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, at+int64(len(p))-1))
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusPartialContent {
		return 0, fmt.Errorf("%s: %s", l.url, r.Status)
	}
	n, err := io.ReadFull(r.Body, p)
	l.read += int64(n)
	return n, err
}

// An image that is estargz at its registry comes as it is, and containerd's own library reads it through the proxy as its
// snapshotter does: the table of contents, which is what the manifest's annotation says, then the chunks of one file, each
// verified by the table. Of a layer of which nothing is here the upstream is asked for these places alone, by single ranges.
func TestEstargzSourcePassesThrough(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	// Half of a layer in parts, and the proxy downloads it.
	items := append(growing(t, 1), treetest.File("usr/lib/larger", random("larger", 1, 32<<20)))
	stream := treetest.Tar(t, items...)
	made, err := estargz.Build(io.NewSectionReader(bytes.NewReader(stream), 0, int64(len(stream))),
		estargz.WithChunkSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	blob, err := io.ReadAll(made)
	if err != nil {
		t.Fatal(err)
	}
	want := u.pushOne("os/image:v1", ocispec.MediaTypeImageLayerGzip, blob, made.DiffID(),
		map[string]string{estargz.TOCJSONDigestAnnotation: made.TOCDigest().String()})
	p := newProxy(t, u, proxyOptions{rule: "rechunk: never"})
	if got := rawManifest(t, p.image("os/image:v1")); !bytes.Equal(got, want.raw) {
		t.Fatalf("the manifest is not the upstream's: %s", got)
	}
	l := manifest(t, p.image("os/image:v1")).Layers[0]
	asked := single{of: l.Digest}
	u.setGate(asked.gate)
	lazy := &lazyLayer{t: t, url: fmt.Sprintf("http://%s/v2/%s/os/image/blobs/%s", p.Clients, upstreamHost, l.Digest)}
	r, err := estargz.Open(io.NewSectionReader(lazy, 0, l.Size))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := r.VerifyTOC(digest.Digest(l.Annotations[estargz.TOCJSONDigestAnnotation]))
	if err != nil {
		t.Fatal(err)
	}
	checkChunk(t, r, verifier, items[3], 8<<20)
	checkChunk(t, r, verifier, items[4], 0)
	whole, ranged := asked.whole.Load(), asked.ranged.Load()
	t.Logf("the library reads %d bytes of %d; of the layer the upstream is asked for all %d times and for %d ranges", lazy.read, l.Size, whole,
		ranged)
	if whole != 0 || ranged == 0 || asked.several.Load() != 0 || lazy.read > l.Size/4 {
		t.Errorf("the upstream is asked for %d times for several ranges", asked.several.Load())
	}
}

// checkChunk reads the chunk of a file that a place lies in and holds it against the table and the file.
func checkChunk(t *testing.T, r *estargz.Reader, v estargz.TOCEntryVerifier, file treetest.Item, at int64) {
	t.Helper()
	entry, ok := r.ChunkEntryForOffset(file.Name, at)
	if !ok {
		t.Fatalf("the table has no %s at %d", file.Name, at)
	}
	check, err := v.Verifier(entry)
	if err != nil {
		t.Fatal(err)
	}
	content, err := r.OpenFile(file.Name)
	if err != nil {
		t.Fatal(err)
	}
	size := entry.ChunkSize
	if size == 0 {
		size = entry.Size
	}
	chunk := make([]byte, size)
	if _, err := content.ReadAt(chunk, entry.ChunkOffset); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if _, err := check.Write(chunk); err != nil || !check.Verified() ||
		string(chunk) != file.Body[entry.ChunkOffset:entry.ChunkOffset+size] {
		t.Errorf("%s at %d is other content, %v", file.Name, at, err)
	}
}
