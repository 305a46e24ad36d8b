package pulltest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk"
)

// fullDriver takes no writes while it is full.
type fullDriver struct {
	storagedriver.StorageDriver
	full atomic.Bool
}

func (f *fullDriver) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	if f.full.Load() {
		return nil, storagedriver.Error{DriverName: "full", Detail: syscall.ENOSPC}
	}
	return f.StorageDriver.Writer(ctx, path, append)
}

func (f *fullDriver) PutContent(ctx context.Context, path string, b []byte) error {
	if f.full.Load() {
		return storagedriver.Error{DriverName: "full", Detail: syscall.ENOSPC}
	}
	return f.StorageDriver.PutContent(ctx, path, b)
}

// Records that hold nonsense are made again.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	kinds := []string{"tag", "manifest", "repository", rechunk.KindServed, rechunk.KindLineage, rechunk.KindIndex,
		rechunk.KindPlan}
	for _, kind := range kinds {
		for _, garbage := range []string{`garbage`, `null`, `{}`, `[]`,
			`{"digest":"x","versions":[{"digest":"y","layers":[{}]}]}`, `{"digest":7,"versions":7}`} {
			t.Run(kind+" "+garbage, func(t *testing.T) {
				t.Parallel()
				h := newHarness(t)
				one, two := bootable(t, "one").push(t, h.up), bootable(t, "two").push(t, h.up)
				h.up.tag("stable", one)
				first := h.pull("stable", registry.Rechunked)
				h.damage(kind, garbage)
				h.restart()
				h.same(h.pull("stable", registry.Rechunked), one)
				if got, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(first.Digest)); err != nil ||
					got.Digest != first.Digest {
					t.Errorf("by digest: %+v, %v", got, err)
				}
				h.damage(kind, garbage)
				h.up.tag("stable", two)
				h.refresh()
				h.pull("stable", registry.Rechunked)
				h.awaitJobs()
				m := h.pull("stable", registry.Rechunked)
				if m.Source != two {
					t.Errorf("source %s, want %s", m.Source, two)
				}
				h.same(m, two)
				if _, err := h.View.Status(t.Context()); err != nil {
					t.Errorf("status: %v", err)
				}
				if _, err := h.View.Repositories(t.Context()); err != nil {
					t.Errorf("repositories: %v", err)
				}
			})
		}
	}
}

// damage overwrites all records of a kind.
func (h *harness) damage(kind, garbage string) {
	h.t.Helper()
	err := h.chunks.WalkRecords(h.t.Context(), kind, func(key string, _ time.Time) error {
		return h.chunks.PutRecord(h.t.Context(), kind, key, []byte(garbage))
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// corrupt changes a byte of stored content, which no client of the store could do.
func (h *harness) corrupt(d digest.Digest) {
	h.t.Helper()
	path := fmt.Sprintf("/v1/blobs/%s/%s/%s", d.Algorithm(), d.Encoded()[:2], d.Encoded())
	b, err := h.driver.GetContent(h.t.Context(), path)
	if err != nil {
		h.t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := h.driver.PutContent(h.t.Context(), path, b); err != nil {
		h.t.Fatal(err)
	}
}

// empty leaves nothing of stored content but its name.
func (h *harness) empty(d digest.Digest) {
	h.t.Helper()
	path := fmt.Sprintf("/v1/blobs/%s/%s/%s", d.Algorithm(), d.Encoded()[:2], d.Encoded())
	if err := h.driver.PutContent(h.t.Context(), path, nil); err != nil {
		h.t.Fatal(err)
	}
}

// A blob of which nothing is left is no answer: it is put aside before anybody hears of it. One that is empty is.
func TestEmptyContent(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for what, b := range map[string][]byte{"content": bigBlob(), "none": nil} {
		d := h.up.putBlob(b)
		for range 2 {
			if got := h.blob(d); string(got) != string(b) {
				t.Errorf("%s: %d bytes of %d", what, len(got), len(b))
			}
			if err := h.Blobs.Keep(t.Context(), testRepo, d, int64(len(b))); err != nil {
				t.Error(err)
			}
			h.empty(d)
			if n, err := h.Images.StatBlob(t.Context(), testRepo, d); err != nil || n != int64(len(b)) {
				t.Errorf("%s: size %d, %v", what, n, err)
			}
		}
	}
}

// What was lost of a served image is made again as soon as a client has missed it.
func TestLostContent(t *testing.T) {
	t.Parallel()
	for _, index := range []bool{false, true} {
		for _, what := range []string{"manifest", "config", "layer"} {
			t.Run(fmt.Sprintf("%s index=%t", what, index), func(t *testing.T) {
				t.Parallel()
				h := newHarness(t)
				src := bootable(t, "one").push(t, h.up)
				tagged := src
				if index {
					tagged = pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(src, "linux/amd64")})
				}
				h.up.tag("stable", tagged)
				m := h.pull("stable", registry.Rechunked)
				served := h.child(m)
				lost := map[string]digest.Digest{
					"manifest": served.Digest, "config": content.BlobsOf(served.Bytes)[0],
					"layer": content.BlobsOf(served.Bytes)[1],
				}[what]
				if err := h.chunks.Delete(t.Context(), lost); err != nil {
					t.Fatal(err)
				}
				h.clock.advance(time.Second)
				if what == "manifest" {
					_, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(lost))
					if e := asClientError(t, err); e.Status != 404 {
						t.Errorf("a lost manifest: %v", e)
					}
				} else {
					_, err := h.Images.OpenBlob(t.Context(), testRepo, lost)
					if e := asClientError(t, err); e.Status != 404 {
						t.Errorf("a lost blob: %v", e)
					}
				}
				h.same(h.child(h.pull("stable", registry.Rechunked)), src)
				heads := h.up.count("HEAD manifests")
				h.pull("stable", registry.Rechunked)
				if n := h.up.count("HEAD manifests") - heads; n != 0 {
					t.Errorf("%d HEADs after all was made again", n)
				}
			})
		}
	}
}

// child is the first image of an index, or the image itself.
func (h *harness) child(m *registry.Manifest) *registry.Manifest {
	h.t.Helper()
	if m.MediaType != ocispec.MediaTypeImageIndex {
		return m
	}
	var idx ocispec.Index
	unmarshal(h.t, m.Bytes, &idx)
	child, err := h.Images.Manifest(h.t.Context(), testRepo, name.Reference(idx.Manifests[0].Digest))
	if err != nil {
		h.t.Fatal(err)
	}
	return child
}

// Bytes that rot on disk are found where they are read, and fetched or made again.
func TestCorruptContent(t *testing.T) {
	t.Parallel()
	t.Run("served manifest", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t)
		src := bootable(t, "one").push(t, h.up)
		h.up.tag("stable", src)
		m := h.pull("stable", registry.Rechunked)
		h.corrupt(m.Digest)
		h.restart() // the cache in memory does not rot
		h.same(h.pull("stable", registry.Rechunked), src)
	})
	t.Run("source layer", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t)
		img := bootable(t, "one")
		src := img.push(t, h.up)
		h.up.tag("stable", src)
		for _, l := range img.layers {
			h.blob(digest.FromBytes(l))
			h.awaitStored(digest.FromBytes(l))
			h.corrupt(digest.FromBytes(l))
		}
		h.same(h.pull("stable", registry.Rechunked), src)
		if c := h.Jobs.Counts(); c.Failed != 0 {
			t.Errorf("jobs %+v", c)
		}
	})
	t.Run("layer index", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t)
		h.up.tag("stable", bootable(t, "one").push(t, h.up))
		h.pull("stable", registry.Rechunked)
		err := h.Records.Indexes.Each(t.Context(), catalog.Prefix[digest.Digest]{},
			func(_ digest.Digest, rec *rechunk.IndexRecord) error {
				h.corrupt(rec.Digest)
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
		two := bootable(t, "two").push(t, h.up)
		h.up.tag("stable", two)
		h.refresh()
		h.pull("stable", registry.Rechunked)
		h.awaitJobs()
		h.same(h.pull("stable", registry.Rechunked), two)
		h.up.tag("third", bootable(t, "three").push(t, h.up))
		h.pull("third", registry.Rechunked)
		if n := strings.Count(h.log.String(), "layer index is damaged"); n > 10 {
			t.Errorf("the same damage was met again and again, %d times", n)
		}
	})
}

func (h *harness) awaitStored(d digest.Digest) {
	for {
		if _, err := h.chunks.Stat(h.t.Context(), d); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// A process that dies at any write leaves a store from which the next one gives the right answers.
func TestCrash(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	one, two := bootable(t, "one").push(t, up), bootable(t, "two").push(t, up)
	step := 1
	for n := 1; ; n += step {
		h := newHarness(t, func(h *harness) { h.up = up })
		up.tag("stable", one)
		h.pull("stable", registry.Rechunked)
		if err := h.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		up.tag("stable", two)
		h.refresh()
		dying := storetest.NewFaulty(h.driver, storetest.DieAt(n))
		alive := h.updateOn(dying)
		h.check(up, one, two)
		if alive {
			if n < 20 {
				t.Errorf("an update took %d calls only", n)
			}
			return
		}
		if step = 7; testing.Short() {
			step = 41
		}
	}
}

// updateOn pulls through a store that may die, and reports whether it did not.
func (h *harness) updateOn(driver *storetest.Faulty) bool {
	h.t.Helper()
	chunks, err := chunkstore.New(driver, chunkstore.Options{})
	if err != nil {
		return false
	}
	h.startOn(chunks)
	_, _ = h.Images.Manifest(h.t.Context(), testRepo, "stable")
	h.awaitJobs()
	m, err := h.Images.Manifest(h.t.Context(), testRepo, "stable")
	if err == nil && m.Digest.Algorithm().FromBytes(m.Bytes) != m.Digest {
		h.t.Error("wrong bytes from a dying store")
	}
	if err := h.Close(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	_, err = driver.Stat(h.t.Context(), "/v1/format")
	return err == nil
}

// check opens the store anew: nothing half is visible, and the right answer comes.
func (h *harness) check(up *fakeUpstream, one, two digest.Digest) {
	h.t.Helper()
	h.up = newUpstream(h.t) // as if the upstream had lost everything
	h.refresh()
	h.start()
	m := h.pull("stable", registry.Stale)
	if m.Source != one && m.Source != two {
		h.t.Fatalf("source %s", m.Source)
	}
	if m.Origin == registry.MadeHere {
		h.filesystem(m.Bytes) // all of its blobs are there
	}
	if err := h.Close(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.up = up
	h.clock.advance(24 * time.Hour)
	h.start()
	_, _ = h.Images.Manifest(h.t.Context(), testRepo, "stable")
	h.awaitJobs()
	m = h.pull("stable", registry.Rechunked)
	if m.Source != two {
		h.t.Fatalf("source %s, want %s", m.Source, two)
	}
	h.same(m, two)
}
