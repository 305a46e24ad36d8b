package via_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk/delta"
	layers "github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var repo = nametest.Repository("ghcr.io/team/os")

// picture is an image of one layer.
type picture struct {
	manifest, blob []byte
	tar            []byte
	items          []Item
}

func (p picture) layer() digest.Digest { return digest.FromBytes(p.blob) }
func (p picture) digest() digest.Digest {
	return digest.FromBytes(p.manifest)
}

// paint makes an image of files.
func paint(t *testing.T, items ...Item) picture {
	t.Helper()
	p := picture{tar: Tar(t, items...), items: items}
	var blob bytes.Buffer
	if _, err := layers.Compress(t.Context(), &blob, bytes.NewReader(p.tar), layers.Zstd); err != nil {
		t.Fatal(err)
	}
	p.blob = blob.Bytes()
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString("{}"), Size: 2},
		Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: p.layer(),
			Size: int64(len(p.blob))}},
	}
	var err error
	if p.manifest, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return p
}

// noise is a text that does not compress.
func noise(seed uint64, n int) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

// versions are two images that differ in some bytes.
func versions(t *testing.T) (before, after picture) {
	t.Helper()
	var old, next []Item
	for i := range 8 {
		body := noise(uint64(i), 200<<10)
		old = append(old, File(fmt.Sprintf("usr/%d", i), body))
		next = append(next, File(fmt.Sprintf("usr/%d", i), body[:90_000]+fmt.Sprint("new ", i)+body[90_000:]))
	}
	return paint(t, old...), paint(t, next...)
}

// theCentral stands for another Strata. Its fields may be changed between calls.
type theCentral struct {
	t        *testing.T
	formats  string
	away     error         // it can't be asked
	gone     error         // it gives no layer
	silent   bool          // it gives no answer to who asks for a delta
	answers  chan struct{} // takes, and gives, when it is asked what it makes; nil: it answers at once
	images   []picture
	answer   func(client.DeltaRequest) (client.Delta, error) // nil: a delta of the first seed
	damage   func([]byte) []byte                             // of a delta
	hang     func(context.Context) io.Reader                 // a delta's bytes, while the context of its request lasts
	blobFail func([]byte) []byte

	mu     sync.Mutex
	asked  []client.DeltaRequest
	blobs  int // that were sent whole
	probes int
}

func (c *theCentral) find(d digest.Digest) (picture, bool) {
	for _, p := range c.images {
		if p.layer() == d || p.digest() == d {
			return p, true
		}
	}
	return picture{}, false
}

func (c *theCentral) Manifest(_ context.Context, _ name.Repository, ref name.Reference) (client.Manifest, error) {
	p, ok := c.find(digest.Digest(ref))
	if !ok {
		return client.Manifest{}, upstream.Errorf(upstream.NotFound, "no manifest")
	}
	return client.Manifest{MediaType: ocispec.MediaTypeImageManifest, Digest: p.digest(), Bytes: p.manifest}, nil
}

func (c *theCentral) StatBlob(context.Context, name.Repository, digest.Digest) (int64, error) {
	return 1, nil
}

func (c *theCentral) BlobRange(context.Context, name.Repository, digest.Digest, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(nil)), nil
}

func (c *theCentral) Blob(_ context.Context, _ name.Repository, d digest.Digest, _ int64) (io.ReadCloser, int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone != nil {
		return nil, 0, c.gone
	}
	c.blobs++
	p, ok := c.find(d)
	if !ok {
		return nil, 0, upstream.Errorf(upstream.NotFound, "no blob")
	}
	body := p.blob
	if c.blobFail != nil {
		body = c.blobFail(body)
	}
	return io.NopCloser(verify.NewReader(bytes.NewReader(body), d, int64(len(p.blob)))), int64(len(p.blob)), nil
}

func (c *theCentral) DeltaFormats(context.Context, name.Repository) (string, error) {
	if c.answers != nil {
		c.answers <- struct{}{}
		<-c.answers
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probes++
	return c.formats, c.away
}

func (c *theCentral) LeadsBack(context.Context, name.Repository) (bool, error) { return false, nil }

func (c *theCentral) Delta(ctx context.Context, _ name.Repository, q client.DeltaRequest) (client.Delta, error) {
	c.mu.Lock()
	c.asked = append(c.asked, q)
	answer := c.answer
	c.mu.Unlock()
	if c.silent {
		<-ctx.Done()
		return client.Delta{}, ctx.Err()
	}
	if answer != nil {
		return answer(q)
	}
	from, ok := c.find(q.Seeds[0])
	to, ok2 := c.find(q.Layer)
	if !ok || !ok2 {
		return client.Delta{Refused: "seed"}, nil
	}
	if c.hang != nil {
		return client.Delta{Body: io.NopCloser(c.hang(ctx)), Seed: from.digest(), Size: -1}, nil
	}
	b := c.make(from, to)
	if c.damage != nil {
		b = c.damage(b)
	}
	return client.Delta{Body: io.NopCloser(bytes.NewReader(b)), Seed: from.digest(), Size: int64(len(b))}, nil
}

// bodies are contents by path.
type bodies map[string]string

type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

func (b bodies) Open(_ context.Context, f delta.File) (delta.Content, error) {
	return content{bytes.NewReader([]byte(b[f.Path]))}, nil
}

// made are the deltas of all tests by the digests of their images: most want the same one, which takes seconds under the
// race detector.
var made sync.Map

// make gives the delta between images, which it makes once.
func (c *theCentral) make(from, to picture) []byte {
	once, _ := made.LoadOrStore([2]digest.Digest{from.digest(), to.digest()},
		sync.OnceValue(func() []byte { return c.encode(from, to) }))
	return slices.Clone(once.(func() []byte)())
}

// encode makes a delta between images.
func (c *theCentral) encode(from, to picture) []byte {
	s, contents := delta.Seed{Manifest: from.digest()}, bodies{}
	for _, i := range from.items {
		s.Files = append(s.Files, delta.File{Path: i.Name, Size: int64(len(i.Body)), Digest: sha256.Sum256([]byte(i.Body))})
		contents[i.Name] = i.Body
	}
	target := delta.Target{
		Tar: bytes.NewReader(to.tar), TarSize: int64(len(to.tar)), Blob: to.layer(), BlobSize: int64(len(to.blob)),
		DiffID: digest.FromBytes(to.tar), Encoder: layers.Zstd.Spec().Encoder.String(),
	}
	for _, i := range to.items {
		target.Entries = append(target.Entries, tree.Entry{Path: i.Name, Kind: tree.Regular, Size: int64(len(i.Body)),
			Digest: sha256.Sum256([]byte(i.Body))})
	}
	var out bytes.Buffer
	if _, err := delta.Make(c.t.Context(), &out, target, s,
		delta.Options{Contents: contents, Scratch: scratch{}}); err != nil {
		c.t.Error(err)
	}
	return out.Bytes()
}

// scratch is in memory.
type scratch struct{}

type scratchFile struct{ bytes.Buffer }

func (scratch) Create() (delta.ScratchFile, error) { return &scratchFile{}, nil }
func (f *scratchFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.Bytes()).ReadAt(p, off)
}
func (f *scratchFile) Close() error { return nil }
func (f *scratchFile) Size() int64  { return int64(f.Len()) }

// edge is a Source over a store in memory that has images.
type edge struct {
	*via.Source
	central  *theCentral
	chunks   *chunkstore.Store
	settings via.Settings
	clock    time.Time
}

func newEdge(t *testing.T, adjust func(*via.Options), central ...picture) *edge {
	t.Helper()
	chunks := storetest.InMemory(t)
	e := &edge{
		central: &theCentral{t: t, formats: delta.Version, images: central}, chunks: chunks,
		clock: time.Unix(1_800_000_000, 0), settings: via.Settings{Wait: 10 * time.Minute},
	}
	store := seed.NewStore(seed.StoreOptions{Layers: state.New(chunks, nil, nil), Dir: t.TempDir()})
	t.Cleanup(store.Close)
	work := background.New(background.Options{Now: time.Now})
	t.Cleanup(func() {
		work.Stop()
		if err := work.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o := via.Options{
		Work:    work,
		Central: e.central, Behind: func(host string) bool { return host == "ghcr.io" },
		Settings: func() via.Settings { return e.settings }, Family: func(repository string) string { return repository },
		Images: catalog.New(chunks, nil).EdgeImages, Stored: chunks, Store: store, Scratch: scratch{},
		Now: func() time.Time { return e.clock },
	}
	if adjust != nil {
		adjust(&o)
	}
	e.Source = via.New(o)
	return e
}

// keep stores an image, as a pull does.
func (e *edge) keep(t *testing.T, of name.Repository, p picture) {
	t.Helper()
	if _, err := e.Manifest(t.Context(), of, name.Reference(p.digest())); err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{p.manifest, p.blob} {
		if _, err := e.chunks.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// pull fetches an image's manifest and its layer.
func (e *edge) pull(t *testing.T, p picture) ([]byte, error) {
	t.Helper()
	if _, err := e.Manifest(t.Context(), repo, name.Reference(p.digest())); err != nil {
		t.Fatal(err)
	}
	body, size, err := e.Blob(t.Context(), repo, p.layer(), -1)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if size != int64(len(p.blob)) {
		t.Errorf("the blob has %d bytes, want %d", size, len(p.blob))
	}
	return io.ReadAll(body)
}

// pulled fails the test unless a pull gives the image's layer; it returns what the edge then tells.
func (e *edge) pulled(t *testing.T, p picture) via.Report {
	t.Helper()
	got, err := e.pull(t, p)
	if err != nil || !bytes.Equal(got, p.blob) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(p.blob), err)
	}
	return e.Report()
}

// commit stores what was written under a digest, whatever it is.
func commit(t *testing.T, w *chunkstore.Writer, d digest.Digest) {
	t.Helper()
	if _, err := w.Commit(t.Context(), chunkstore.Expected{Digest: d, Size: chunkstore.AnySize}); err != nil {
		t.Fatal(err)
	}
}
