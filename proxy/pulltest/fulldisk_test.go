package pulltest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/registry"
)

// smallDisk mounts a filesystem of some bytes; that takes a privileged user.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("mounting a small filesystem takes root on Linux")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs",
		dir).CombinedOutput(); err != nil {
		t.Skipf("mounting a small filesystem: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// onDisk puts store and temporary files of a harness on a small disk.
func onDisk(t *testing.T, h *harness, disk string) {
	t.Helper()
	driver, err := chunkstore.OpenDriver(t.Context(), "filesystem",
		map[string]any{"rootdirectory": filepath.Join(disk, "data")})
	if err != nil {
		t.Fatal(err)
	}
	h.driver, h.workDir = driver, filepath.Join(disk, "work")
}

// A disk that is full serves what it has, passes on what it has not, and goes on when there is space again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "4m")
	h := newHarness(t, func(h *harness) { onDisk(t, h, disk) })
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	kept := h.pull("stable", registry.Rechunked)

	fill(t, filepath.Join(disk, "other"))
	h.same(kept, src)
	big := h.up.putBlob(bigBlob())
	for range 2 {
		h.blob(big)
	}
	if got := h.part(big, len(bigBlob())-100); !bytes.Equal(got, bigBlob()[len(bigBlob())-100:]) {
		t.Error("the end of a blob that is passed on is not what it is")
	}
	if _, err := h.chunks.Stat(t.Context(), big); !errors.Is(err, chunkstore.ErrNotFound) {
		t.Errorf("on a full disk: %v", err)
	}
	h.up.tag("stable", bootable(t, "two").push(t, h.up))
	h.refresh()
	for range 2 {
		m, err := h.Images.Manifest(t.Context(), testRepo, "stable")
		if err != nil || m.Digest != kept.Digest {
			t.Errorf("a new version that finds no space: %+v, %v; want the one before", m, err)
		}
		h.awaitJobs()
	}

	if err := os.Remove(filepath.Join(disk, "other")); err != nil {
		t.Fatal(err)
	}
	h.blob(big)
	// A client has all of it before the store has.
	if err := h.Blobs.Keep(t.Context(), testRepo, big, -1); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if _, err := h.chunks.Stat(t.Context(), big); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// fill writes a file until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
}

// part reads the rest of a blob from a position on.
func (h *harness) part(d digest.Digest, from int) []byte {
	h.t.Helper()
	b, err := h.Images.OpenBlob(h.t.Context(), testRepo, d)
	if err != nil {
		h.t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Seek(int64(from), io.SeekStart); err != nil {
		h.t.Fatal(err)
	}
	got, err := io.ReadAll(b)
	if err != nil {
		h.t.Fatal(err)
	}
	return got
}

// hold begins a download that has all bytes but one. The function that it returns lets it end, and waits for that.
func (h *harness) hold(content []byte) (release func()) {
	h.t.Helper()
	d := h.up.putBlob(content)
	gate, almost := make(chan struct{}), len(content)-1
	h.up.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, d.String()) {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:almost])
		_ = http.NewResponseController(w).Flush()
		<-gate
		_, _ = w.Write(content[almost:])
		return true
	})
	b, err := h.Images.OpenBlob(h.t.Context(), testRepo, d)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := io.ReadFull(b, make([]byte, almost)); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		close(gate)
		if _, err := io.ReadAll(b); err != nil {
			h.t.Error(err)
		}
		if err := errors.Join(b.Close(), h.Blobs.Keep(h.t.Context(), testRepo, d, -1)); err != nil {
			h.t.Error(err)
		}
	}
}

// What downloads take of work_bytes images have not: one that finds no room is served as it is, and made soon when
// there is room again. One that is too large for all of it is not.
func TestImagesShareWithDownloads(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		workBytes int64
		want      registry.Served
	}{
		"no room now": {1 << 20, registry.Rechunked},
		"too large":   {1000, registry.Original},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(h *harness) { h.workBytes = tc.workBytes })
			release := h.hold(bytes.Repeat([]byte("x"), int(tc.workBytes)))
			h.up.tag("stable", bootable(t, "one").push(t, h.up))
			h.pull("stable", registry.Original)
			h.awaitJobs()
			if !strings.Contains(h.log.String(), "work_bytes") {
				t.Error("the log does not name work_bytes")
			}
			release()
			h.clock.advance(2 * time.Minute)
			h.pull("stable", tc.want)
		})
	}
}

// A download that finds no space is passed on; wrong bytes do not come to their end.
func TestPassedOn(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(h *harness) { h.workBytes = 1 })
	defer h.hold([]byte("a download that takes the space"))()
	big := h.up.putBlob(bigBlob())
	h.blob(big)
	if _, err := h.chunks.Stat(t.Context(), big); !errors.Is(err, chunkstore.ErrNotFound) {
		t.Errorf("it is stored: %v", err)
	}
	wrong := bigBlob()
	wrong[100]++
	h.up.mu.Lock()
	h.up.blobs[big] = wrong
	h.up.mu.Unlock()
	b, err := h.Images.OpenBlob(t.Context(), testRepo, big)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := io.ReadAll(b); err == nil || len(got) == len(wrong) {
		t.Errorf("wrong bytes: %d of %d and %v", len(got), len(wrong), err)
	}
}

// A directory for temporary files that somebody removed is made again.
func TestWorkDirIsMadeAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if err := os.RemoveAll(h.workDir); err != nil {
		t.Fatal(err)
	}
	h.blob(h.up.putBlob(bigBlob()))
	if err := os.RemoveAll(h.workDir); err != nil {
		t.Fatal(err)
	}
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	h.same(h.pull("stable", registry.Rechunked), src)
}
