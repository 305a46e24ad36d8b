package pulltest

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/registry"
)

// newReplicas makes services that share a store, leases and an upstream.
func newReplicas(t *testing.T, n int, change ...func(*harness)) []*harness {
	t.Helper()
	first := newHarness(t, append(change, func(h *harness) { h.leases = lease.New(lease.NewLocal(), nil) })...)
	all := []*harness{first}
	for len(all) < n {
		all = append(all, newHarness(t, append(change, func(h *harness) {
			h.driver, h.up, h.leases, h.clock = first.driver, first.up, first.leases, first.clock
		})...))
	}
	return all
}

// However many clients pull through however many replicas: one job, each blob fetched once, one image.
func TestReplicasShareAJob(t *testing.T) {
	t.Parallel()
	replicas := newReplicas(t, 3)
	up := replicas[0].up
	src := bootable(t, "one").push(t, up)
	up.tag("stable", src)
	var mu sync.Mutex
	served := map[digest.Digest]int{}
	var wg sync.WaitGroup
	for _, h := range replicas {
		for range 5 {
			wg.Go(func() {
				m, err := h.Images.Manifest(t.Context(), testRepo, "stable")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				served[m.Digest]++
			})
		}
	}
	wg.Wait()
	if len(served) != 1 {
		t.Errorf("%d different images: %v", len(served), served)
	}
	up.mu.Lock()
	blobs := len(up.blobs)
	up.mu.Unlock()
	if n := up.count("GET blobs"); n != blobs {
		t.Errorf("%d downloads of %d blobs", n, blobs)
	}
	if n := up.count("GET manifests"); n != 1 {
		t.Errorf("%d downloads of one manifest", n)
	}
	for _, h := range replicas {
		h.same(h.pull("stable", registry.Rechunked), src)
	}
}

// A cold blob is fetched once, and whoever is asked for it elsewhere waits for the store.
func TestReplicasShareADownload(t *testing.T) {
	t.Parallel()
	replicas := newReplicas(t, 2)
	up := replicas[0].up
	content := []byte("a layer of its own")
	d := digest.FromBytes(content)
	up.mu.Lock()
	up.blobs[d] = content
	up.mu.Unlock()
	release := up.hold(t)
	var wg sync.WaitGroup
	for _, h := range replicas {
		wg.Go(func() {
			b, err := h.Images.OpenBlob(t.Context(), testRepo, d)
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			if got, err := io.ReadAll(b); err != nil || string(got) != string(content) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	for up.count("GET blobs") == 0 {
		time.Sleep(time.Millisecond)
	}
	release()
	wg.Wait()
	if n := up.count("GET blobs"); n != 1 {
		t.Errorf("%d downloads", n)
	}
}

// What one replica was told of a tag, the others believe.
func TestReplicasShareChecks(t *testing.T) {
	t.Parallel()
	replicas := newReplicas(t, 2, func(h *harness) { h.rule.Rechunk = config.RechunkNever })
	up := replicas[0].up
	up.tag("stable", bootable(t, "one").push(t, up))
	for range 3 {
		before := up.count("HEAD manifests")
		for _, h := range replicas {
			h.pull("stable", registry.Original)
		}
		if n := up.count("HEAD manifests") - before; n != 1 {
			t.Errorf("%d questions about one tag", n)
		}
		replicas[0].refresh()
	}
}

// An update that was begun on an older word of the upstream does not undo a later one's.
func TestReplicaDoesNotMoveATagBack(t *testing.T) {
	t.Parallel()
	replicas := newReplicas(t, 2, func(h *harness) {
		h.rule.FirstPull, h.rule.FirstPullTimeout = config.FirstPullOriginal, config.Duration(time.Millisecond)
	})
	slow, quick := replicas[0], replicas[1]
	up := slow.up
	old, next := bootable(t, "one").push(t, up), bootable(t, "two").push(t, up)
	up.tag("stable", old)
	release := up.hold(t)
	slow.pull("stable", registry.Original) // its update hangs
	slow.clock.advance(time.Second)
	up.tag("stable", next)
	quick.rule.Rechunk = config.RechunkNever // it needs no blobs
	if m := quick.pull("stable", registry.Original); m.Digest != next {
		t.Fatalf("the later word is %s", m.Digest)
	}
	quick.awaitJobs()
	release()
	slow.awaitJobs()
	rec, err := slow.Records.Tags.Get(t.Context(), catalog.TagKey{Repository: testRepo.String(), Tag: "stable"})
	if err != nil || rec == nil || rec.SourceDigest != next {
		t.Errorf("the tag stands for %+v, %v", rec, err)
	}
}
