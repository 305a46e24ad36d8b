package pulltest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/registry"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	o := h.View
	empty, err := o.Status(t.Context())
	if err != nil || empty.Repositories != 0 || empty.Versions != 0 {
		t.Errorf("empty: %+v, %v", empty, err)
	}
	for _, content := range []string{numbered(1), numbered(2), numbered(3)} {
		h.up.tag("stable", bootable(t, content).push(t, h.up))
		h.refresh()
		h.pull("stable", registry.Rechunked)
		h.awaitJobs()
	}
	got, err := o.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Repositories != 1 || got.Versions != 3 || got.Jobs.Done != 3 || got.UptimeSeconds <= 0 || got.Version != "test" {
		t.Errorf("status %+v", got)
	}
	if got.Store.TotalBytes <= got.Store.ServedBytes || got.Store.ServedBytes <= 0 || got.UpdateBytes <= 0 {
		t.Errorf("bytes %+v", got)
	}
	if n := metric(t, h.reg, "strata_stored_bytes"); n != float64(got.Store.TotalBytes) {
		t.Errorf("stored bytes %v, want %d", n, got.Store.TotalBytes)
	}
	if n := metric(t, h.reg, "strata_update_bytes_total"); n != float64(got.UpdateBytes) {
		t.Errorf("update bytes %v, want %d", n, got.UpdateBytes)
	}
}

func TestRepositoryReports(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	o := h.View
	amd, arm := bootable(t, "amd").push(t, h.up), bootable(t, "arm").with(arch("arm64")).push(t, h.up)
	src := pushIndex(t, h.up, ocispec.MediaTypeImageIndex,
		[]any{h.up.member(amd, "linux/amd64"), h.up.member(arm, "linux/arm64")})
	h.up.tag("stable", src)
	m := h.pull("stable", registry.Rechunked)
	list, err := o.Repositories(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != testRepo.String() || list[0].Versions != 2 || len(list[0].Tags) != 1 {
		t.Fatalf("repositories %+v, %v", list, err)
	}
	tag := list[0].Tags[0]
	if tag.Tag != "stable" || tag.SourceDigest != src.String() || tag.Digest != m.Digest.String() ||
		tag.Served != "rechunked" {
		t.Errorf("tag %+v", tag)
	}
	detail, err := o.Repository(t.Context(), testRepo.String())
	if err != nil || len(detail.History) != 2 || len(detail.Layers) == 0 ||
		detail.History[0].Created.Before(detail.History[1].Created) {
		t.Errorf("detail %+v, %v", detail, err)
	}
	for _, name := range []string{"registry.test/org/other", "not a name", ""} {
		if _, err := o.Repository(t.Context(), name); !errors.Is(err, operate.ErrNotFound) {
			t.Errorf("repository %q: %v", name, err)
		}
	}
}

// events collects what Warm tells.
type events struct {
	mu   sync.Mutex
	seen []operate.WarmEvent
}

func (e *events) tell(ev operate.WarmEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, ev)
}

func TestWarm(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	o := h.Warmer
	amd, other := bootable(t, "amd").push(t, h.up), bootable(t, "s390").with(arch("s390x")).push(t, h.up)
	plain := bootable(t, "plain").with(func(i *testImage) { i.labels = nil })
	h.up.tag("image", amd)
	h.up.tag("index", pushIndex(t, h.up, ocispec.MediaTypeImageIndex,
		[]any{h.up.member(amd, "linux/amd64"), h.up.member(other, "linux/s390x")}))
	plainDigest := plain.push(t, h.up)
	h.up.tag("plain", plainDigest)
	byDigest := bootable(t, "by digest")
	prefix := testRepo.String()
	for _, ref := range []string{
		prefix + ":image", prefix + ":index", prefix + ":plain", prefix + "@" + byDigest.push(t, h.up).String(),
	} {
		if err := o.Warm(t.Context(), ref, func(operate.WarmEvent) {}); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	// All that clients ask for is there.
	blobs := h.up.count("GET blobs")
	h.filesystem(h.child(h.pull("image", registry.Rechunked)).Bytes)
	h.filesystem(h.child(h.pull("index", registry.Rechunked)).Bytes)
	h.filesystem(h.pull("plain", registry.Original).Bytes)
	for _, l := range byDigest.layers {
		h.blob(digest.FromBytes(l))
	}
	if n := h.up.count("GET blobs") - blobs; n != 0 {
		t.Errorf("%d downloads after warming", n)
	}
	// Warming asks the upstream even though the record is fresh.
	two := bootable(t, "two").push(t, h.up)
	h.up.tag("image", two)
	if err := o.Warm(t.Context(), prefix+":image", func(operate.WarmEvent) {}); err != nil {
		t.Error(err)
	}
	if m := h.pull("image", registry.Rechunked); m.Source != two {
		t.Errorf("source %s, want %s", m.Source, two)
	}
}

func TestWarmFails(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	broken := bootable(t, "x")
	broken.layers[0] = []byte("no layer")
	h.up.tag("broken", broken.push(t, h.up))
	prefix := testRepo.String()
	for ref, want := range map[string]string{
		prefix + ":broken": "not rechunked",
		prefix + ":absent": "not found",
		"Not A Name":       "no registry given",
		prefix + "@" + digest.FromString("nothing").String(): "not found",
	} {
		err := h.Warmer.Warm(t.Context(), ref, func(operate.WarmEvent) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", ref, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Warmer.Warm(ctx, prefix+":absent", func(operate.WarmEvent) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves gets %v", err)
	}
}

func TestWarmProgress(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	release := h.up.hold(t)
	var seen events
	done := make(chan error)
	go func() { done <- h.Warmer.Warm(t.Context(), testRepo.String()+":stable", seen.tell) }()
	for {
		seen.mu.Lock()
		n := len(seen.seen)
		seen.mu.Unlock()
		if n > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if e := seen.seen[0]; e.State != jobs.Running || !strings.HasSuffix(e.Reference, ":stable") {
		t.Errorf("event %+v", e)
	}
}

// Operators see which tags clients get unchecked, and since when, until one is checked again.
func TestStatusOfStaleTags(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, tag := range []string{"stable", "other"} {
		h.up.tag(tag, bootable(t, tag).push(t, h.up))
		h.pull(tag, registry.Rechunked)
	}
	status := func(tag string, served registry.Served, since time.Time) {
		t.Helper()
		list, err := h.View.Repositories(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d, err := h.View.Repository(t.Context(), testRepo.String()+":"+tag)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range append(d.Tags, list[0].Tags...) {
			if got.Tag == tag && (got.Served != string(served) || !got.StaleSince.Equal(since)) {
				t.Errorf("%s: %s since %s, want %s since %s", tag, got.Served, got.StaleSince, served, since)
			}
		}
	}
	down := func() time.Time {
		h.refresh()
		h.up.failWith("", http.StatusServiceUnavailable)
		h.pull("stable", registry.Stale)
		return h.clock.now()
	}
	status("stable", registry.Rechunked, time.Time{})
	since := down()
	h.refresh()
	h.pull("stable", registry.Stale) // the memory of the outage is over, which goes on
	status("stable", registry.Stale, since)
	status("other", registry.Rechunked, time.Time{}) // nobody asked for it
	h.up.fail(nil)
	h.refresh()
	h.pull("stable", registry.Rechunked)
	status("stable", registry.Rechunked, time.Time{})
	down()
	h.up.fail(nil)
	h.refresh()
	if err := h.Warmer.Warm(t.Context(), testRepo.String()+":stable", func(operate.WarmEvent) {}); err != nil {
		t.Fatal(err)
	}
	status("stable", registry.Rechunked, time.Time{}) // not a client's pull, but a check
	status("stable", registry.Stale, down())
}
