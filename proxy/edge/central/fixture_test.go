package central_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/edge/central"
	"github.com/strata-oci/strata/proxy/edge/pairs"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testRepo = "registry.test/team/os"

// fixture is a store with the versions of an image, and a central on it.
type fixture struct {
	t       *testing.T
	driver  storagedriver.StorageDriver
	chunks  *chunkstore.Store
	records *catalog.Records
	space   *workspace.Budget
	work    *background.Group
	dir     string
	clock   *clock
	proofs  *proofs
	shown   shown
	maker   *maker
	central *central.Central
	repo    name.Repository
	// reference is what versions are made for; empty: the tag stable.
	reference string
	log       *lockedBuffer

	v1, v2 rechunk.Version
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// proofs are what repositories were proven to have; all of testRepo but what is taken out.
type proofs struct {
	mu      sync.Mutex
	missing map[digest.Digest]bool
	other   string // another repository that has everything, too
}

// lack takes proofs out, in place of those that were taken out before.
func (p *proofs) lack(missing ...digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.missing = map[digest.Digest]bool{}
	for _, d := range missing {
		p.missing[d] = true
	}
}

func (p *proofs) Has(_ context.Context, repo name.Repository, d digest.Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return (repo.String() == testRepo || repo.String() == p.other) && !p.missing[d]
}

// blobs tell what is stored.
type blobs struct{ *chunkstore.Store }

func (b blobs) StatBlob(ctx context.Context, _ name.Repository, d digest.Digest) (int64, error) {
	n, err := b.Stat(ctx, d)
	if errors.Is(err, chunkstore.ErrNotFound) {
		return 0, registry.BlobUnknown("no such blob")
	}
	return n, err
}

// shown are the images that clients may have: all but those that are refused for their signatures.
type shown struct {
	mu      sync.Mutex
	refused digest.Digest
}

// refuse refuses an image, and shows the one that was refused before.
func (s *shown) refuse(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = d
}

func (s *shown) Shown(_ context.Context, _ name.Repository, d digest.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == d {
		return registry.Denied("the image is refused")
	}
	return nil
}

// maker makes deltas of words: what it is told to write, after it has read the layer.
type maker struct {
	mu    sync.Mutex
	made  []string // "layer seed"
	last  delta.Options
	seeds []delta.Seed
	// do takes the place of writing the words.
	do func(ctx context.Context, w io.Writer, t delta.Target, s delta.Seed, o delta.Options) error
	// needs are the programs that deltas need, of those that there are.
	needs []string
	// held, while it is there, is waited for when all of a delta was written: then readers come before its end.
	held chan struct{}
}

// hold keeps deltas from coming to their end until release is called.
func (m *maker) hold() (release func()) {
	held := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = held
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.held = nil
		close(held)
	}
}

// finish waits while deltas are held.
func (m *maker) finish() {
	m.mu.Lock()
	held := m.held
	m.mu.Unlock()
	if held != nil {
		<-held
	}
}

// ending is the end of a body that comes when deltas are not held.
type ending struct{ *maker }

func (e ending) Read([]byte) (int, error) {
	e.finish()
	return 0, io.EOF
}

func (m *maker) make(ctx context.Context, w io.Writer, t delta.Target, s delta.Seed, o delta.Options) (delta.Report, error) {
	m.mu.Lock()
	m.made = append(m.made, t.Blob.String()+" "+s.Manifest.String())
	m.last, m.seeds = o, append(m.seeds, s)
	do := m.do
	m.mu.Unlock()
	defer m.finish()
	var r delta.Report
	if o.Encoders != nil {
		for _, p := range o.Encoders.Available() {
			if slices.Contains(m.needs, p.String()) {
				r.Programs = append(r.Programs, p)
			}
		}
	}
	if n, err := io.Copy(io.Discard, t.Tar); err != nil || n != t.TarSize {
		return r, fmt.Errorf("layer of %d bytes: %w", n, err)
	}
	if do != nil {
		return r, do(ctx, w, t, s, o)
	}
	_, err := io.WriteString(w, words(t.Blob, s.Manifest))
	return r, err
}

func (m *maker) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.made)
}

func (m *maker) set(do func(context.Context, io.Writer, delta.Target, delta.Seed, delta.Options) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.do = do
}

func words(layer, seed digest.Digest) string {
	return "delta of " + layer.Encoded()[:8] + " from " + seed.Encoded()[:8]
}

// programs are those of the central's machine.
type programs []string

func (p programs) Available() []delta.Program {
	var out []delta.Program
	for _, text := range p {
		var one delta.Program
		one.Name, one.Version, _ = cut(text)
		out = append(out, one)
	}
	return out
}

func cut(text string) (a, b string, ok bool) {
	before, after, ok := bytes.Cut([]byte(text), []byte("/"))
	return string(before), string(after), ok
}

func (programs) Encode(context.Context, delta.Encoder, io.Reader, io.Writer) error { return nil }

func newFixture(t *testing.T, driver storagedriver.StorageDriver, change func(*central.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, driver: driver, clock: &clock{at: time.Now().UTC()},
		proofs: &proofs{missing: map[digest.Digest]bool{}}, maker: &maker{}, dir: t.TempDir(), log: &lockedBuffer{},
		space: workspace.New(1 << 30)}
	if f.driver == nil {
		f.driver = inmemory.New()
	}
	repo, err := name.Parser{}.Repository(testRepo, "")
	if err != nil {
		t.Fatal(err)
	}
	f.repo = repo
	if f.chunks, err = chunkstore.New(f.driver, chunkstore.Options{}); err != nil {
		t.Fatal(err)
	}
	f.records = catalog.New(f.chunks, nil)
	f.start(change)
	t.Cleanup(f.stop)
	f.v1 = f.version(1, map[string]string{"etc/a": "one"}, map[string]string{"usr/b": "old and gold"})
	f.v2 = f.version(2, map[string]string{"etc/a": "one"}, map[string]string{"usr/b": "new and blue", "usr/c": "more"})
	return f
}

// start makes a central, as a process does.
func (f *fixture) start(change func(*central.Options)) {
	f.work = background.New(background.Options{Now: f.clock.now})
	o := central.Options{
		Chunks: f.chunks, Content: state.New(f.chunks, nil, nil), Records: f.records, Blobs: blobs{f.chunks},
		Images: &f.shown, Proofs: f.proofs,
		Family: func(r string) string { return r }, Make: f.maker.make, Work: f.work, Metrics: (*metrics.Metrics)(nil),
		WorkDir: f.dir, Space: f.space, CPU: 1, Keep: func() int64 { return 1 << 30 }, Now: f.clock.now,
		Logger: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	f.central = central.New(o)
}

// end ends it.
func (f *fixture) end() {
	f.work.Stop()
	if err := errors.Join(f.central.Close(context.Background()), f.work.Close(context.Background())); err != nil {
		f.t.Error(err)
	}
}

// stop ends it, and checks that nothing is left in the directory for temporary files.
func (f *fixture) stop() {
	f.end()
	if left, err := os.ReadDir(f.dir); len(left) > 0 || err != nil {
		f.t.Errorf("left behind: %v, %v", left, err)
	}
	if n := f.space.Used(); n != 0 {
		f.t.Errorf("%d bytes are still booked", n)
	}
}

// layer stores a layer and returns what its record says.
func (f *fixture) layer(files map[string]string) rechunk.VersionLayer {
	f.t.Helper()
	var plain, blob bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Size: int64(len(files[path])), Mode: 0o644})
		if _, werr := io.WriteString(w, files[path]); err != nil || werr != nil {
			f.t.Fatal(err, werr)
		}
	}
	if err := w.Close(); err != nil {
		f.t.Fatal(err)
	}
	z := gzip.NewWriter(&blob)
	_, err := z.Write(plain.Bytes())
	if err := errors.Join(err, z.Close()); err != nil {
		f.t.Fatal(err)
	}
	d, err := f.chunks.Put(f.t.Context(), blob.Bytes())
	if err != nil {
		f.t.Fatal(err)
	}
	return rechunk.VersionLayer{Digest: d, DiffID: digest.FromBytes(plain.Bytes()), Size: int64(blob.Len()),
		TarSize: int64(plain.Len()), Encoder: "test", Type: ocispec.MediaTypeImageLayerGzip}
}

// index stores the index of a layer, as the engine does.
func (f *fixture) index(layer digest.Digest) {
	f.t.Helper()
	blob, err := f.chunks.Open(f.t.Context(), layer)
	if err != nil {
		f.t.Fatal(err)
	}
	defer blob.Close()
	read, err := scan.Layer(f.t.Context(), blob, scan.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	var b bytes.Buffer
	_, err = read.Index.WriteTo(&b)
	d, perr := f.chunks.Put(f.t.Context(), b.Bytes())
	rec := &rechunk.IndexRecord{Digest: d, Size: int64(b.Len())}
	if err := errors.Join(err, perr, f.records.Indexes.Put(f.t.Context(), layer, rec)); err != nil {
		f.t.Fatal(err)
	}
}

// version stores an image with these layers, as the newest of the lineage.
func (f *fixture) version(n int, layers ...map[string]string) rechunk.Version {
	f.t.Helper()
	v := rechunk.Version{Reference: cmp.Or(f.reference, testRepo+":stable")}
	config, err := f.chunks.Put(f.t.Context(), fmt.Appendf(nil, `{"n":%d}`, n))
	if err != nil {
		f.t.Fatal(err)
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageConfig, Digest: config, Size: 7}}
	m.SchemaVersion = 2
	for _, files := range layers {
		l := f.layer(files)
		v.Layers = append(v.Layers, l)
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: l.Type, Digest: l.Digest, Size: l.Size})
	}
	b, err := json.Marshal(m)
	if err != nil {
		f.t.Fatal(err)
	}
	if v.Digest, err = f.chunks.Put(f.t.Context(), b); err != nil {
		f.t.Fatal(err)
	}
	key := catalog.LineageKey{Lineage: testRepo, Platform: "linux/amd64"}
	l, err := f.records.Lineages.Get(f.t.Context(), key)
	if l == nil {
		l = &rechunk.Lineage{}
	}
	l.Versions = append([]rechunk.Version{v}, l.Versions...)
	if err := errors.Join(err, f.records.Lineages.Put(f.t.Context(), key, l)); err != nil {
		f.t.Fatal(err)
	}
	return v
}

// query asks for the new layer of v2 for who has v1.
func (f *fixture) query() registry.DeltaQuery {
	return registry.DeltaQuery{Layer: f.v2.Layers[1].Digest, Seeds: []digest.Digest{f.v1.Digest}, Wait: time.Minute}
}

// words are what its delta is.
func (f *fixture) words() string { return words(f.v2.Layers[1].Digest, f.v1.Digest) }

// get reads a delta to its end.
func (f *fixture) get(q registry.DeltaQuery) (text string, size int64, err error) {
	f.t.Helper()
	d, err := f.central.OpenDelta(f.t.Context(), f.repo, q)
	if err != nil {
		return "", 0, err
	}
	return f.read(d, q)
}

// read reads an open delta to its end.
func (f *fixture) read(d *registry.Delta, q registry.DeltaQuery) (text string, size int64, err error) {
	f.t.Helper()
	b, err := io.ReadAll(d)
	if d.Seed != q.Seeds[0] && len(q.Seeds) == 1 {
		f.t.Errorf("the seed is %s", d.Seed)
	}
	return string(b), d.Size, errors.Join(err, d.Close())
}

// settled waits until nothing waits or is being made.
func (f *fixture) settled() {
	f.t.Helper()
	f.until("nothing is being made", func() bool {
		r := f.central.Report()
		return r.Waiting+r.Running == 0 && !slices.ContainsFunc(r.Deltas, func(p pairs.Pair) bool {
			return p.State == pairs.Waiting || p.State == pairs.Running
		})
	})
}

// until waits for something that happens in the background.
func (f *fixture) until(what string, ok func() bool) {
	f.t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	f.t.Fatalf("it never came to be that %s\n%s", what, f.log)
}

// want checks that a query is answered with the words, from the store or while they are made. What is made is not ready
// before it is read: else it would be the store that answers.
func (f *fixture) want(q registry.DeltaQuery, stored bool) {
	f.t.Helper()
	release := f.maker.hold()
	d, err := f.central.OpenDelta(f.t.Context(), f.repo, q)
	release()
	if err != nil {
		f.t.Error(err)
		return
	}
	text, size, err := f.read(d, q)
	if err != nil || text != words(q.Layer, q.Seeds[0]) || (size >= 0) != stored {
		f.t.Errorf("%q of %d bytes, %v", text, size, err)
	}
}

// refused checks the reason why there is no delta.
func (f *fixture) refused(q registry.DeltaQuery, reason string) {
	f.t.Helper()
	_, _, err := f.get(q)
	var none *registry.NoDelta
	if !errors.As(err, &none) || none.Reason != reason || (reason == "") != (none.RetryAfter > 0) {
		f.t.Errorf("%v, want %q", err, reason)
	}
}

// deltas lists the records.
func (f *fixture) deltas() map[catalog.DeltaKey]catalog.Delta {
	f.t.Helper()
	out := map[catalog.DeltaKey]catalog.Delta{}
	err := f.records.Deltas.Each(f.t.Context(), catalog.Prefix[catalog.DeltaKey]{},
		func(k catalog.DeltaKey, d *catalog.Delta) error {
			out[k] = *d
			return nil
		})
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func newLeases() *lease.Leases { return lease.New(lease.NewLocal(), nil) }
