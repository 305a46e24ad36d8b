package pulltest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/pull"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
)

func TestClientErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   upstream.Kind
		status int
		code   string
	}{
		{upstream.NotFound, 404, "MANIFEST_UNKNOWN"},
		{upstream.Unauthorized, 403, "DENIED"},
		{upstream.Denied, 403, "DENIED"},
		{upstream.RateLimited, 429, "TOOMANYREQUESTS"},
		{upstream.Unavailable, 503, "UNAVAILABLE"},
		{upstream.Timeout, 504, "UNAVAILABLE"},
		{upstream.Invalid, 502, "UNAVAILABLE"},
		{upstream.TooLarge, 502, "UNAVAILABLE"},
		{upstream.NotConfigured, 404, "NAME_UNKNOWN"},
		{upstream.Protocol, 502, "UNAVAILABLE"},
	} {
		err := pull.ClientError(&upstream.Error{Host: "h", Kind: c.kind, RetryAfter: 7 * time.Second},
			registry.ManifestUnknown)
		e := asClientError(t, err)
		if e.Status != c.status || e.Code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.kind, e.Status, e.Code, c.status, c.code)
		}
		if c.kind == upstream.RateLimited && e.RetryAfter != 7*time.Second {
			t.Errorf("%s: Retry-After %s", c.kind, e.RetryAfter)
		}
	}
}

func TestUpstreamFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ upstream, client int }{
		{401, 403}, {403, 403}, {404, 404}, {429, 429}, {500, 503}, {502, 503}, {503, 503}, {418, 502},
	} {
		h := newHarness(t)
		h.up.tag("known", bootable(t, "one").push(t, h.up))
		first := h.pull("known", registry.Rechunked)
		h.up.failWith("", c.upstream)
		if e := h.pullError("new"); e.Status != c.client {
			t.Errorf("%d: a new tag gives %v, want %d", c.upstream, e, c.client)
		}
		// What was there goes on, with all of its blobs, and asks the upstream no more than once in a while.
		h.refresh()
		before := h.up.total()
		for range 5 {
			if m := h.pull("known", registry.Stale); m.Digest != first.Digest {
				t.Errorf("%d: %s, want %s", c.upstream, m.Digest, first.Digest)
			}
		}
		if n := h.up.total() - before; n > 2 { // one check of two attempts
			t.Errorf("%d: %d requests to a failing upstream", c.upstream, n)
		}
		h.filesystem(first.Bytes)
		h.up.fail(nil)
		h.clock.advance(10 * time.Minute)
		h.pull("known", registry.Rechunked)
	}
}

func TestUpstreamDown(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("a", src)
	h.up.tag("b", src)
	h.pull("a", registry.Rechunked)
	h.pull("b", registry.Rechunked)
	h.up.CloseClientConnections()
	h.up.Listener.Close()
	h.refresh()
	h.pull("a", registry.Stale)
	errors := h.failures.Load()
	h.pull("b", registry.Stale) // the host's outage is known by now
	if errors == 0 || h.failures.Load() != errors {
		t.Errorf("each tag finds out about the outage by itself: %d failures, then %d", errors, h.failures.Load())
	}
	if e := h.pullError("new"); e.Status != http.StatusServiceUnavailable {
		t.Errorf("a new tag: %v", e)
	}
	h.restart()
	h.pull("a", registry.Stale)
}

func TestRateLimitIsHeeded(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	h.up.fail(func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "120")
		return true
	})
	if e := h.pullError("stable"); e.Status != 429 || e.RetryAfter != 2*time.Minute {
		t.Errorf("got %v, Retry-After %s", e, e.RetryAfter)
	}
	h.clock.advance(30 * time.Second)
	before := h.up.total()
	if e := h.pullError("stable"); e.Status != 429 || e.RetryAfter != 90*time.Second {
		t.Errorf("30 seconds later: %v, Retry-After %s", e, e.RetryAfter)
	}
	if n := h.up.total() - before; n != 0 {
		t.Errorf("%d requests before Retry-After has passed", n)
	}
	h.up.fail(nil)
	h.clock.advance(91 * time.Second)
	h.pull("stable", registry.Rechunked)
}

func TestDeletedUpstream(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	m := h.pull("stable", registry.Rechunked)
	h.same(m, src)
	h.up.untag("stable")
	clear(h.up.manifests)
	clear(h.up.blobs)
	h.refresh()
	h.pull("stable", registry.Stale)
	h.same(m, src)
	h.restart()
	h.refresh()
	h.pull("stable", registry.Stale)
}

// A job that fails leaves the original, is logged once, and is tried again only when it is time, ever later.
func TestJobFails(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	img := bootable(t, "one")
	img.layers[1] = []byte("this is no layer")
	src := img.push(t, h.up)
	h.up.tag("stable", src)
	if m := h.pull("stable", registry.Original); m.Digest != src {
		t.Errorf("got %s", m.Digest)
	}
	if !strings.Contains(h.log.String(), "could not be rechunked") {
		t.Error("the failure is not logged")
	}
	for tries := 1; tries <= 4; tries++ {
		rec, err := h.Records.Tags.Get(t.Context(), catalog.TagKey{Repository: testRepo.String(), Tag: "stable"})
		if err != nil || rec.Failure == nil || rec.Failure.Tries != tries {
			t.Fatalf("try %d: %+v, %v", tries, rec, err)
		}
		wait := rec.Failure.RetryAt.Sub(h.clock.now())
		if want := time.Minute << (tries - 1); wait != want {
			t.Errorf("try %d: next one in %s, want %s", tries, wait, want)
		}
		for range 3 { // pulls before RetryAt start nothing
			h.clock.advance(wait/3 - time.Second)
			h.pull("stable", registry.Original)
		}
		if n := int(h.Jobs.Counts().Failed); n != tries {
			t.Fatalf("%d failed jobs, want %d", n, tries)
		}
		h.clock.advance(wait)
		h.pull("stable", registry.Original)
		h.awaitJobs()
	}
	// A new image is a new start.
	h.up.tag("stable", bootable(t, "two").push(t, h.up))
	h.refresh()
	h.pull("stable", registry.Rechunked)
	if rec, err := h.Records.Tags.Get(t.Context(),
		catalog.TagKey{Repository: testRepo.String(), Tag: "stable"}); err != nil || rec.Failure != nil {
		t.Errorf("record %+v, %v", rec, err)
	}
}

// When the new image's layers can't be fetched, a rechunked version stays.
func TestUpstreamFailsDuringJob(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	one, two := bootable(t, "one").push(t, h.up), bootable(t, "two").push(t, h.up)
	h.up.tag("stable", one)
	first := h.pull("stable", registry.Rechunked)
	h.up.tag("stable", two)
	h.refresh()
	h.up.failWith("GET blobs", 503)
	for range 3 {
		m, err := h.Images.Manifest(t.Context(), testRepo, "stable")
		if err != nil || m.Digest != first.Digest {
			t.Fatalf("got %+v, %v", m, err)
		}
		h.awaitJobs()
	}
	h.pull("stable", registry.Stale)
	if n := h.Jobs.Counts().Failed; n != 1 {
		t.Errorf("%d jobs were tried", n)
	}
	// The tag moves back: what is served is no longer stale.
	h.up.tag("stable", one)
	h.refresh()
	h.pull("stable", registry.Rechunked)
	h.up.tag("stable", two)
	h.up.fail(nil)
	h.clock.advance(time.Minute)
	h.pull("stable", registry.Rechunked)
	h.awaitJobs()
	if m := h.pull("stable", registry.Rechunked); m.Source != two {
		t.Errorf("after the outage: source %s", m.Source)
	}
}

// A first image whose layers can't be fetched is passed on as it is, as far as that goes.
func TestUpstreamFailsDuringFirstJob(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	h.up.failWith("GET blobs", 503)
	if m := h.pull("stable", registry.Original); m.Digest != src {
		t.Errorf("got %s", m.Digest)
	}
	h.up.fail(nil)
	h.clock.advance(2 * time.Minute)
	h.pull("stable", registry.Rechunked)
}

func TestManifestGoneBetweenHeadAndGet(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	h.up.failWith("GET manifests", 404)
	if e := h.pullError("stable"); e.Status != 404 {
		t.Errorf("got %v", e)
	}
	h.up.fail(nil)
	h.pull("stable", registry.Rechunked)
}

func TestNotConfigured(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	_, err := h.Images.Manifest(t.Context(), nametest.Repository("elsewhere.test/a/b"), "x")
	if e := asClientError(t, err); e.Status != 404 || e.Code != "NAME_UNKNOWN" {
		t.Errorf("got %v", e)
	}
}
