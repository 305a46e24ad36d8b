package pulltest

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk"
)

// answer is what a pull in the background got.
type answer struct {
	m   *registry.Manifest
	err error
}

func (h *harness) pullAsync(tag string) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		m, err := h.Images.Manifest(h.t.Context(), testRepo, name.Reference(tag))
		out <- answer{m, err}
	}()
	return out
}

// awaitCount waits until the upstream has had n requests of a kind.
func (h *harness) awaitCount(what string, n int) {
	for h.up.count(what) < n {
		time.Sleep(time.Millisecond)
	}
}

// Pulls that wait for a first version when the proxy ends are told to come back: the original would cost the host a whole
// download twice. Nothing of the job is left to be seen.
func TestStopDuringFirstPull(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	h.up.hold(t)
	waiting := h.pullAsync("stable")
	h.awaitCount("GET blobs", 1)
	h.Work.Stop()
	if e := asClientError(t, (<-waiting).err); e.Status != 503 || e.RetryAfter <= 0 ||
		!strings.Contains(e.Message, "shutting down") {
		t.Errorf("got %+v", e)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := h.Jobs.Counts(); c.Cancelled != 1 || c.Failed != 0 {
		t.Errorf("jobs %+v", c)
	}
	for _, kind := range []string{"tag", "attempt", rechunk.KindServed, rechunk.KindLineage, rechunk.KindPlan} {
		_ = h.chunks.WalkRecords(t.Context(), kind, func(key string, _ time.Time) error {
			t.Errorf("record %s %q was left", kind, key)
			return nil
		})
	}
	h.up.fail(nil)
	h.start()
	h.pull("stable", registry.Rechunked)
}

// Pulls during an update get the version before.
func TestStopDuringUpdate(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	first := h.pull("stable", registry.Rechunked)
	two := bootable(t, "two").push(t, h.up)
	h.up.tag("stable", two)
	h.refresh()
	h.up.hold(t)
	blobs := h.up.count("GET blobs")
	waiting := h.pullAsync("stable")
	h.awaitCount("GET blobs", blobs+1)
	h.Work.Stop()
	if got := <-waiting; got.err != nil || got.m.Digest != first.Digest {
		t.Errorf("got %+v, %v", got.m, got.err)
	}
	h.up.fail(nil)
	h.restart()
	h.pull("stable", registry.Rechunked)
	h.awaitJobs()
	if m := h.pull("stable", registry.Rechunked); m.Source != two {
		t.Errorf("after the restart: source %s", m.Source)
	}
}

// A job waits for a place; its number is bounded.
func TestJobsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.tag("a", bootable(t, "a").push(t, h.up))
	h.up.tag("b", bootable(t, "b").push(t, h.up))
	release := h.up.hold(t)
	a, b := h.pullAsync("a"), h.pullAsync("b")
	for {
		if c := h.Jobs.Counts(); c.Running == 1 && c.Queued == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	reports := h.View.Jobs(t.Context())
	if len(reports) != 2 || reports[0].State == reports[1].State || reports[0].Repository != testRepo.String() {
		t.Errorf("reports %+v", reports)
	}
	release()
	for _, c := range []<-chan answer{a, b} {
		if got := <-c; got.err != nil || got.m.Served != registry.Rechunked {
			t.Errorf("got %+v, %v", got.m, got.err)
		}
	}
	if c := h.Jobs.Counts(); c.Done != 2 || c.Running+c.Queued != 0 {
		t.Errorf("jobs %+v", c)
	}
	if n := metric(t, h.reg, "strata_jobs_total"); n != 2 {
		t.Errorf("%v jobs were counted", n)
	}
}

// A store that takes no records does not keep images from being served, nor makes it a loop.
func TestStoreFull(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	full := &fullDriver{StorageDriver: h.driver}
	chunks, err := chunkstore.New(full, chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	full.full.Store(true)
	h.startOn(chunks)
	for range 5 {
		if m := h.pull("stable", registry.Original); m.Digest != src {
			t.Errorf("got %s", m.Digest)
		}
		h.refresh() // without records, each of these asks the upstream
		h.clock.advance(-time.Minute)
	}
	if n := h.Jobs.Counts().Failed; n != 1 {
		t.Errorf("%d jobs", n)
	}
	for d := range h.up.blobs {
		h.blob(d)
	}
	full.full.Store(false)
	h.clock.advance(2 * time.Minute)
	h.pull("stable", registry.Rechunked)
}

// A service that does nothing keeps nothing from being removed; a job does until its end.
func TestActivity(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if oldest, _ := h.Work.Activity(); !oldest.IsZero() {
		t.Errorf("at work since %v, with nothing to do", oldest)
	}
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	h.up.hold(t)
	waiting := h.pullAsync("stable")
	h.awaitCount("GET blobs", 1)
	if oldest, begun := h.Work.Activity(); oldest.IsZero() || begun == 0 {
		t.Error("a job is no activity")
	}
	h.Work.Stop()
	<-waiting
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if oldest, _ := h.Work.Activity(); !oldest.IsZero() {
		t.Errorf("at work since %v, after the end", oldest)
	}
}

// An image at which processes died is served as it is, and tried again after a while.
func TestImageThatKilledTheProxy(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	h.up.hold(t)
	waiting := h.pullAsync("stable")
	h.awaitCount("GET blobs", 1)
	left := map[string]catalog.Attempt{}
	err := h.Records.Attempts.Each(t.Context(), catalog.PrefixOf(""), func(key string, a *catalog.Attempt) error {
		left[key] = *a
		return nil
	})
	if err != nil || len(left) != 1 {
		t.Fatalf("recorded: %+v, %v", left, err)
	}
	h.up.fail(nil)
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-waiting
	died := func(times int) {
		for key, a := range left {
			a.Tries, a.StartedAt = times, h.clock.now()
			if err := h.Records.Attempts.Put(t.Context(), key, &a); err != nil {
				t.Fatal(err)
			}
		}
	}
	const reason = "the process ended while it was at this image"
	died(2)
	h.start()
	if m := h.pull("stable", registry.Original); m.Digest != src || !strings.Contains(h.log.String(), reason) {
		t.Errorf("%s is served, the original is %s", m.Digest, src)
	}
	h.refresh()
	h.pull("stable", registry.Original)
	h.awaitJobs()
	if c := h.Jobs.Counts(); c.Failed != 1 {
		t.Errorf("jobs %+v", c)
	}
	h.clock.advance(6 * time.Hour)
	h.refresh()
	<-h.pullAsync("stable") // it is tried again
	h.awaitJobs()
	h.pull("stable", registry.Rechunked)
}
