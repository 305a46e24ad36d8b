package upkeep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/rechunk"
)

// clock is ahead of the backend's by what it was told.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// fixture is a store with a keeper.
type fixture struct {
	t      testing.TB
	driver storagedriver.StorageDriver
	clock  *clock
	chunks *chunkstore.Store
	keeper *Keeper
	usage  *Usage
}

func newFixture(t testing.TB, driver storagedriver.StorageDriver, change func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, driver: driver, clock: &clock{}}
	if f.driver == nil {
		f.driver = newTimed(inmemory.New(), f.clock)
	}
	if err := f.open(change); err != nil {
		t.Fatal(err)
	}
	return f
}

// open opens the store, as a new process would.
func (f *fixture) open(change func(*Options)) error {
	if f.usage == nil {
		f.usage = NewUsage(0)
	}
	chunks, err := chunkstore.New(f.driver, chunkstore.Options{Now: f.clock.now, CacheBytes: -1, Space: f.usage})
	if err != nil {
		return err
	}
	st := state.New(chunks, nil, nil)
	o := Options{
		Chunks: chunks, Lineages: rechunk.New(rechunk.Config{Store: st, Records: st}), Now: f.clock.now,
		Usage: f.usage, Alone: func() bool { return true }, Policy: policy(Retention{Versions: 2}),
	}
	if change != nil {
		change(&o)
	}
	f.chunks, f.keeper = chunks, New(o)
	return nil
}

// policy is one with the same retention for all lineages.
func policy(r Retention) func() Policy {
	return func() Policy {
		return Policy{Retention: func(string) Retention { return r }, KeepPulled: 7 * 24 * time.Hour, Grace: 6 * time.Hour}
	}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) put(content string) digest.Digest {
	f.t.Helper()
	d, err := f.chunks.Put(f.t.Context(), []byte(content))
	f.must(err)
	return d
}

func (f *fixture) record(kind, key string, v any) {
	f.t.Helper()
	b, err := json.Marshal(v)
	f.must(err)
	f.must(f.chunks.PutRecord(f.t.Context(), kind, key, b))
}

// manifest stores an image with these layers.
func (f *fixture) manifest(layers ...string) (digest.Digest, ocispec.Manifest) {
	f.t.Helper()
	config := f.put("config of " + digest.FromString(fmt.Sprint(layers)).String())
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.Descriptor{Digest: config}}
	for _, l := range layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{Digest: f.put(l), Size: int64(len(l))})
	}
	b, err := json.Marshal(m)
	f.must(err)
	return f.put(string(b)), m
}

// index stores an image index.
func (f *fixture) index(children ...digest.Digest) digest.Digest {
	f.t.Helper()
	var x ocispec.Index
	for _, c := range children {
		x.Manifests = append(x.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: c})
	}
	b, err := json.Marshal(x)
	f.must(err)
	return f.put(string(b))
}

const (
	testRepo    = "registry.test/os"
	testLineage = testRepo + " linux/amd64"
)

// original stores an image as it was pulled.
func (f *fixture) original(layers ...string) digest.Digest {
	f.t.Helper()
	d, _ := f.manifest(layers...)
	f.record(catalog.KindManifest, d.String(),
		map[string]any{"media_type": ocispec.MediaTypeImageManifest, "source_digest": d, "served": "original"})
	return d
}

// version stores a source image and the image made of it, as a job does, and returns what was made.
func (f *fixture) version(n int, layers ...string) rechunk.Version {
	f.t.Helper()
	sourceLayer := fmt.Sprintf("source layer %d", n)
	src := f.original(sourceLayer)
	d, m := f.manifest(layers...)
	v := rechunk.Version{Config: m.Config.Digest, Created: f.clock.now(),
		SourceLayers: []digest.Digest{digest.FromString(sourceLayer)}}
	v.SourceDigest, v.Digest, v.Sequence = src, d, n
	for _, l := range m.Layers {
		v.Layers = append(v.Layers, rechunk.VersionLayer{Digest: l.Digest, Size: l.Size})
		f.record(rechunk.KindIndex, l.Digest.String(), map[string]any{"digest": f.put("index of " + l.Digest.String())})
	}
	f.record(rechunk.KindIndex, v.SourceLayers[0].String(), map[string]any{"digest": f.put("index of " + sourceLayer)})
	f.record(rechunk.KindPlan, d.String(), map[string]any{"digest": d})
	var l rechunk.Lineage
	b, err := f.chunks.GetRecord(f.t.Context(), rechunk.KindLineage, testLineage)
	if err == nil {
		f.must(json.Unmarshal(b, &l))
	} else if !errors.Is(err, chunkstore.ErrNotFound) {
		f.t.Fatal(err)
	}
	l.Versions = slices.Insert(l.Versions, 0, v)
	f.record(rechunk.KindLineage, testLineage, l)
	f.record(rechunk.KindServed, testRepo+" "+src.String(), v)
	f.record(catalog.KindManifest, d.String(),
		map[string]any{"media_type": ocispec.MediaTypeImageManifest, "source_digest": src, "served": catalog.Rechunked})
	return v
}

func (f *fixture) tag(tag string, source, served digest.Digest) {
	f.t.Helper()
	kind := catalog.Rechunked
	if source == served {
		kind = catalog.Original
	}
	f.record(catalog.KindTag, testRepo+":"+tag,
		map[string]any{"source_digest": source, "digest": served, "served": kind, "media_type": "x"})
}

// delta stores a delta of a layer.
func (f *fixture) delta(seed, layer digest.Digest, content string) {
	f.t.Helper()
	f.record("delta", seed.String()+" "+layer.String()+" 0-0011223344556677",
		map[string]any{"digest": f.put(content), "size": len(content)})
}

func (f *fixture) has(content string) bool { return f.hasDigest(digest.FromString(content)) }

func (f *fixture) hasDigest(d digest.Digest) bool {
	f.t.Helper()
	_, err := f.chunks.Stat(f.t.Context(), d)
	if err != nil && !errors.Is(err, chunkstore.ErrNotFound) {
		f.t.Fatal(err)
	}
	return err == nil
}

// want checks which contents are there.
func (f *fixture) want(there bool, contents ...string) {
	f.t.Helper()
	for _, c := range contents {
		if f.has(c) != there {
			f.t.Errorf("content %q is there: %t, want %t", c, !there, there)
		}
	}
}

// wantVersion checks that all of a version is there.
func (f *fixture) wantVersion(v rechunk.Version) {
	f.t.Helper()
	all := []digest.Digest{v.Digest, v.Config}
	for _, l := range v.Layers {
		all = append(all, l.Digest)
	}
	for _, d := range all {
		if !f.hasDigest(d) {
			f.t.Errorf("version %d lost %s", v.Sequence, d)
		}
	}
}

func (f *fixture) gc(o GCOptions) GCReport {
	f.t.Helper()
	r, err := f.keeper.GC(f.t.Context(), o)
	f.must(err)
	return r
}

// keys lists the records of a kind.
func (f *fixture) keys(kind string) []string {
	f.t.Helper()
	var out []string
	f.must(f.chunks.WalkRecords(f.t.Context(), kind, func(key string, _ time.Time) error {
		out = append(out, key)
		return nil
	}))
	return out
}

// pulls says when manifests were pulled.
type pulls map[digest.Digest]time.Time

func (p pulls) last(_ context.Context, d digest.Digest) (time.Time, error) { return p[d], nil }
