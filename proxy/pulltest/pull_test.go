package pulltest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
)

func TestFirstPullWaits(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	m := h.pull("stable", registry.Rechunked)
	if m.Source != src || m.Origin != registry.MadeHere {
		t.Errorf("source %s, origin %s", m.Source, m.Origin)
	}
	h.same(m, src)
	// A served digest gives the served image.
	again, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(m.Digest))
	if err != nil || again.Digest != m.Digest || again.Served != registry.Rechunked || again.Source != src {
		t.Errorf("by digest: %+v, %v", again, err)
	}
}

func TestFirstPullOriginal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*config.Rule)
	}{
		{"first_pull", func(r *config.Rule) { r.FirstPull = config.FirstPullOriginal }},
		{"timeout", func(r *config.Rule) { r.FirstPullTimeout = config.Duration(time.Millisecond) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(h *harness) { c.change(&h.rule) })
			src := bootable(t, "one").push(t, h.up)
			h.up.tag("stable", src)
			release := h.up.hold(t)
			if m := h.pull("stable", registry.Original); m.Digest != src {
				t.Errorf("got %s, want the original %s", m.Digest, src)
			}
			release()
			h.awaitJobs()
			h.refresh()
			h.pull("stable", registry.Rechunked)
		})
	}
}

// awaitJobs waits until no update runs.
func (h *harness) awaitJobs() {
	h.t.Helper()
	for {
		if oldest, _ := h.Work.Activity(); oldest.IsZero() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	first := h.pull("stable", registry.Rechunked)

	before := h.up.total()
	h.pullMany("stable", 20, first)
	if n := h.up.total() - before; n != 0 {
		t.Errorf("a fresh record cost %d upstream requests", n)
	}
	h.refresh()
	h.pullMany("stable", 50, first)
	if n := h.up.total() - before; n != 1 || h.up.count("HEAD manifests") != 2 {
		t.Errorf("a stale record cost %d upstream requests, want one HEAD", n)
	}
	h.restart()
	h.pullMany("stable", 5, first)
	if n := h.up.total() - before; n != 1 {
		t.Errorf("after a restart, a fresh record cost %d upstream requests", n-1)
	}
	h.clock.advance(-time.Hour) // a record from the future is not believed
	h.pullMany("stable", 1, first)
	if n := h.up.total() - before; n != 2 {
		t.Errorf("a record from the future cost %d upstream requests, want 1", n-1)
	}
}

// pullMany pulls at the same time and wants one answer for all.
func (h *harness) pullMany(tag string, n int, want *registry.Manifest) {
	h.t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			m, err := h.Images.Manifest(h.t.Context(), testRepo, name.Reference(tag))
			if err != nil || want != nil && (m.Digest != want.Digest || m.Served != want.Served) {
				h.t.Errorf("pull %s: %+v, %v", tag, m, err)
			}
		})
	}
	wg.Wait()
}

func TestColdPullsShareOneJob(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	img := bootable(t, "one")
	src := img.push(t, h.up)
	h.up.tag("stable", src)
	h.up.tag("latest", src)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { h.pullMany("stable", 1, nil) })
		wg.Go(func() { h.pullMany("latest", 1, nil) })
	}
	wg.Wait()
	if n := h.up.count("HEAD manifests"); n != 2 {
		t.Errorf("%d HEADs for two tags", n)
	}
	if n := h.up.count("GET manifests"); n != 1 {
		t.Errorf("%d manifest downloads", n)
	}
	if n := h.up.count("GET blobs"); n != len(img.layers)+1 {
		t.Errorf("%d blob downloads for %d blobs", n, len(img.layers)+1)
	}
	if c := h.Jobs.Counts(); c.Failed+c.Cancelled != 0 {
		t.Errorf("jobs %+v", c)
	}
	if n := metric(t, h.reg, "strata_update_bytes_total"); n != 0 {
		t.Errorf("a first version counts as an update of %v bytes", n)
	}
}

func TestTagMoves(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	one, two := bootable(t, "one").push(t, h.up), bootable(t, "two").push(t, h.up)
	h.up.tag("stable", one)
	first := h.pull("stable", registry.Rechunked)

	h.up.tag("stable", two)
	h.refresh()
	release := h.up.hold(t)
	heads := h.up.count("HEAD manifests")
	for range 2 {
		if m := h.pull("stable", registry.Rechunked); m.Digest != first.Digest {
			t.Fatalf("while the job runs: %s, want the version before", m.Digest)
		}
	}
	if n := h.up.count("HEAD manifests") - heads; n != 1 {
		t.Errorf("%d HEADs while the job runs", n)
	}
	release()
	h.awaitJobs()
	second := h.pull("stable", registry.Rechunked)
	if second.Source != two {
		t.Fatalf("after the job: source %s, want %s", second.Source, two)
	}
	h.same(second, two)
	shared := 0
	for _, l := range layers(t, second) {
		if slices.Contains(layers(t, first), l) {
			shared++
		}
	}
	if shared == 0 {
		t.Error("the second version shares no layer with the first")
	}
	if n := metric(t, h.reg, "strata_update_bytes_total"); n <= 0 {
		t.Errorf("update bytes %v", n)
	}

	// Another tag on the same image counts nothing anew, and moving back gives the old image again.
	bytes := metric(t, h.reg, "strata_update_bytes_total")
	h.up.tag("other", two)
	if m := h.pull("other", registry.Rechunked); m.Digest != second.Digest {
		t.Errorf("other tag: %s, want %s", m.Digest, second.Digest)
	}
	h.up.tag("stable", one)
	h.refresh()
	if m := h.pull("stable", registry.Rechunked); m.Digest != first.Digest {
		t.Errorf("moved back: %s, want %s", m.Digest, first.Digest)
	}
	if n := metric(t, h.reg, "strata_update_bytes_total"); n != bytes {
		t.Errorf("update bytes %v, want still %v", n, bytes)
	}
}

func TestTagMovesBackDuringJob(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	one, two := bootable(t, "one").push(t, h.up), bootable(t, "two").push(t, h.up)
	h.up.tag("stable", one)
	first := h.pull("stable", registry.Rechunked)
	h.up.tag("stable", two)
	h.refresh()
	release := h.up.hold(t)
	h.pull("stable", registry.Rechunked)
	h.up.tag("stable", one)
	h.refresh()
	if m := h.pull("stable", registry.Rechunked); m.Digest != first.Digest {
		t.Fatalf("moved back: %s", m.Digest)
	}
	release()
	h.awaitJobs()
	if rec, err := h.Records.Tags.Get(t.Context(),
		catalog.TagKey{Repository: testRepo.String(), Tag: "stable"}); err != nil || rec.Digest != first.Digest {
		t.Errorf("the end of an overtaken job moved the tag: %+v, %v", rec, err)
	}
	h.pullMany("stable", 1, first)
}

func TestFamilySharesLayers(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(h *harness) { h.rule.Family = "os" })
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	h.up.tag("next", bootable(t, "two").push(t, h.up))
	first := h.pull("stable", registry.Rechunked)
	second, err := h.Images.Manifest(t.Context(), nametest.Repository(testRepo.Host()+"/org/other"), "next")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(layers(t, second), func(d digest.Digest) bool { return slices.Contains(layers(t, first), d) }) {
		t.Error("two repositories of a family share no layer")
	}
}

func TestClientLeaves(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	release := h.up.hold(t)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := h.Images.Manifest(ctx, testRepo, "stable")
		left <- err
	}()
	for h.up.count("GET blobs") == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-left; err == nil {
		t.Error("a client that left was answered")
	}
	release()
	h.awaitJobs()
	h.pull("stable", registry.Rechunked)
	if n := h.up.count("HEAD manifests"); n != 1 {
		t.Errorf("%d HEADs", n)
	}
}

func TestRuleNever(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	h.pull("stable", registry.Rechunked)
	h.rule.Rechunk = config.RechunkNever
	if m := h.pull("stable", registry.Original); m.Digest != src {
		t.Errorf("got %s", m.Digest)
	}
	h.rule.Rechunk = config.RechunkAuto
	h.pull("stable", registry.Rechunked)
}

func TestPassThrough(t *testing.T) {
	t.Parallel()
	uki := func(i *testImage) {
		i.layers = append(i.layers, layerOf(t, uki("x.efi")...))
	}
	for _, c := range []struct {
		name string
		push func(u *fakeUpstream) digest.Digest
		rule func(*config.Rule)
		want registry.Served
	}{
		{"not bootable", func(u *fakeUpstream) digest.Digest {
			return bootable(t, "x").with(func(i *testImage) { i.labels = nil }).push(t, u)
		}, nil, registry.Original},
		{"always", func(u *fakeUpstream) digest.Digest {
			return bootable(t, "x").with(func(i *testImage) { i.labels = nil }).push(t, u)
		}, func(r *config.Rule) { r.Rechunk = config.RechunkAlways }, registry.Rechunked},
		{"never", func(u *fakeUpstream) digest.Digest { return bootable(t, "x").push(t, u) },
			func(r *config.Rule) { r.Rechunk = config.RechunkNever }, registry.Original},
		{"foreign layer", func(u *fakeUpstream) digest.Digest {
			return bootable(t, "x").with(func(i *testImage) { i.foreign = true }).push(t, u)
		}, nil, registry.Original},
		{"sealed", func(u *fakeUpstream) digest.Digest { return bootable(t, "x").with(uki).push(t, u) }, nil,
			registry.Original},
		{"docker", func(u *fakeUpstream) digest.Digest {
			return bootable(t, "x").with(func(i *testImage) { i.docker = true }).push(t, u)
		}, nil, registry.Rechunked},
		{"other platform", func(u *fakeUpstream) digest.Digest {
			return bootable(t, "x").with(func(i *testImage) { i.arch = "s390x" }).push(t, u)
		}, nil, registry.Original},
		{"artifact", func(u *fakeUpstream) digest.Digest {
			return u.put(document{"application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,
				"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example",
				"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},
				"layers":[]}`)})
		}, nil, registry.Original},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			if c.rule != nil {
				c.rule(&h.rule)
			}
			src := c.push(h.up)
			h.up.tag("stable", src)
			m := h.pull("stable", c.want)
			if c.want == registry.Original {
				if m.Digest != src {
					t.Errorf("got %s, want the original %s", m.Digest, src)
				}
				if rec, err := h.Records.Tags.Get(t.Context(),
					catalog.TagKey{Repository: testRepo.String(), Tag: "stable"}); err != nil || rec.Failure != nil {
					t.Errorf("record %+v, %v", rec, err)
				}
			} else {
				h.same(m, src)
			}
			if strings.Contains(h.log.String(), "level=ERROR") {
				t.Error("passing through is logged as an error")
			}
		})
	}
}

func TestUnknownTag(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if e := h.pullError("absent"); e.Status != http.StatusNotFound || e.Code != "MANIFEST_UNKNOWN" {
		t.Errorf("got %v", e)
	}
	_, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(digest.FromString("nothing")))
	if e := asClientError(t, err); e.Status != http.StatusNotFound {
		t.Errorf("unknown digest: %v", e)
	}
	if names, _, err := h.Lists.Repositories(t.Context(), registry.Page{N: -1}); err != nil || len(names) != 0 {
		t.Errorf("catalog %v, %v", names, err)
	}
}
