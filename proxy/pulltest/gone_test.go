package pulltest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// A store whose directory disappears is not begun anew: what needs it fails for a moment, what is on its way goes on, and
// all is as before when it is back.
func TestStoreGone(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	h := newHarness(t, func(h *harness) { onDisk(t, h, disk) })
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	kept := h.pull("stable", registry.Rechunked)
	release := h.hold(bigBlob())

	store := filepath.Join(disk, "data")
	if err := os.Rename(store, store+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	h.up.tag("stable", bootable(t, "two").push(t, h.up))
	h.up.tag("other", bootable(t, "three").push(t, h.up))
	h.refresh()
	m, err := h.Images.Manifest(t.Context(), testRepo, "stable")
	if err != nil || m.Digest != kept.Digest || m.Served != registry.Stale {
		t.Errorf("a tag that is in memory: %+v, %v", m, err)
	}
	_, err = h.Images.OpenBlob(t.Context(), testRepo, layers(t, kept)[0])
	wantBackSoon(t, "a stored blob", err)
	_, err = h.Images.Manifest(t.Context(), testRepo, "other")
	wantBackSoon(t, "a tag", err)
	_, err = h.Images.Manifest(t.Context(), testRepo, name.Reference(src.String()))
	wantBackSoon(t, "a digest", err)
	h.awaitJobs()
	if entries, err := os.ReadDir(store); err != nil || len(entries) > 0 {
		t.Errorf("there is something in its place: %v, %v", entries, err)
	}

	if err := os.Remove(store); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(store+".away", store); err != nil {
		t.Fatal(err)
	}
	release()
	h.same(kept, src)
	h.pull("other", registry.Rechunked)
}

// wantBackSoon wants the error with which a client comes back.
func wantBackSoon(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: it is there", what)
		return
	}
	if e := asClientError(t, err); e.Status != http.StatusServiceUnavailable || e.RetryAfter == 0 {
		t.Errorf("%s: %d, to come back after %s: %v", what, e.Status, e.RetryAfter, err)
	}
}

// A store that becomes read-only serves what it has and passes on what it has not.
func TestStoreReadOnly(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "8m")
	h := newHarness(t, func(h *harness) { onDisk(t, h, disk) })
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	kept := h.pull("stable", registry.Rechunked)
	mount := func(how string) {
		if out, err := exec.CommandContext(t.Context(), "mount", "-o", "remount,"+how, disk).CombinedOutput(); err != nil {
			t.Fatalf("remount: %v: %s", err, out)
		}
	}
	mount("ro")
	h.same(kept, src)
	big := h.up.putBlob(bigBlob())
	h.blob(big)
	h.up.tag("stable", bootable(t, "two").push(t, h.up))
	h.refresh()
	m, err := h.Images.Manifest(t.Context(), testRepo, "stable")
	if err != nil || m.Digest != kept.Digest {
		t.Errorf("a new version on a read-only disk: %+v, %v; want the one before", m, err)
	}
	h.awaitJobs()
	mount("rw")
	h.refresh()
	h.pull("stable", registry.Rechunked)
	h.awaitJobs()
	if m := h.pull("stable", registry.Rechunked); m.Digest == kept.Digest {
		t.Error("the new version is not there, though the disk can be written")
	}
}
