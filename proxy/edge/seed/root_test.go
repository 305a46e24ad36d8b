package seed_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/rechunk/delta"
)

// put writes a file, with its directories.
func put(t *testing.T, path, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	put(t, dir+"/usr/bin/tool", "tool")
	put(t, dir+"/usr/lib/modules/6.12/vmlinuz", "kernel")
	put(t, dir+"/usr/etc/conf", "of the image")
	put(t, dir+"/etc/conf", "of the host!")
	put(t, dir+"/etc/plain", "no ostree")
	put(t, outside+"/secret", "secret")
	for link, to := range map[string]string{
		"out": outside, "secret": outside + "/secret", "up": "../../../..", "lib": "usr/lib", "link": "usr/bin/tool",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(dir+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	files, err := seed.NewRoot(dir).Files()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for path, want := range map[string]string{
		"usr/bin/tool": "tool", "usr/lib/modules/6.12/vmlinuz": "kernel", "etc/conf": "of the image",
		"etc/plain": "no ostree", "lib/modules/6.12/vmlinuz": "kernel",
	} {
		if got := read(t, files, file(0, path, want)); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	for path, size := range map[string]int64{
		"out/secret": 6, "secret": 6, "up/etc/hostname": 6, "pipe": 0, "usr/bin": 4096, "usr/bin/tool": 5, "link": 4,
		"../" + filepath.Base(outside) + "/secret": 6, "/usr/bin/tool": 4, "usr/bin/none": 4, "": 0,
	} {
		f := file(0, path, "")
		f.Size = size
		if c, err := files.Open(t.Context(), f); !errors.Is(err, delta.ErrSource) {
			t.Errorf("%q: %v, %v", path, c, err)
		}
	}
	if _, err := files.Open(t.Context(), file(0, "usr/bin/tool", "loot")); !errors.Is(err, delta.ErrSource) {
		t.Errorf("an altered file: %v", err)
	}
	if _, err := seed.NewRoot(dir + "/none").Files(); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// What was changed since the file was opened is not given, even where the change is elsewhere in the file.
func TestRootChangedOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, change := range map[string]func(path string) error{
		"cut":   func(path string) error { return os.Truncate(path, 3) },
		"grown": func(path string) error { return os.Truncate(path, 9) },
	} {
		put(t, filepath.Join(dir, name), "content")
		files, err := seed.NewRoot(dir).Files()
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		c, err := files.Open(t.Context(), file(0, name, "content"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := make([]byte, 3)
		if _, err := c.ReadAt(got, 0); err != nil || string(got) != "con" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := change(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadAt(got, 0); err == nil {
			t.Errorf("%s: %q is given", name, got)
		}
	}
}

// A host with ostree: its commit says which image it is, written here by ostree itself.
func TestRootImageOSTree(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ostree"); err != nil {
		t.Skip("there is no ostree here")
	}
	image := digest.FromString("image")
	dir := t.TempDir()
	repo := dir + "/sysroot/ostree/repo"
	put(t, dir+"/tree/usr/bin/tool", "tool")
	run := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "ostree", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("ostree %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if err := os.MkdirAll(repo, 0o755); err != nil {
		t.Fatal(err)
	}
	run("init", "--repo="+repo, "--mode=bare-user")
	commit := func(metadata ...string) string {
		args := []string{"commit", "--repo=" + repo, "--branch=b", "--tree=dir=" + dir + "/tree",
			"--add-metadata-string=a=b"}
		for _, m := range metadata {
			args = append(args, "--add-metadata-string="+m)
		}
		return run(args...)
	}
	boot := func(commit string) {
		link := dir + "/sysroot/ostree/boot.1/default/abc/0"
		if err := os.RemoveAll(link); err != nil {
			t.Fatal(err)
		}
		put(t, dir+"/proc/cmdline", "BOOT_IMAGE=x root=UUID=y ostree=/ostree/boot.1/default/abc/0 rw\n")
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../../../deploy/default/deploy/"+commit+".0", link); err != nil {
			t.Fatal(err)
		}
	}
	root := seed.NewRoot(dir)
	boot(commit("ostree.manifest-digest=" + image.String()))
	if got, err := root.Image(); got != image || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	boot(commit("ostree.manifest-digest=latest", "version=1"))
	if got, err := root.Image(); !errors.Is(err, seed.ErrUnknownImage) {
		t.Errorf("no digest: %s, %v", got, err)
	}
	boot(commit())
	if got, err := root.Image(); !errors.Is(err, seed.ErrUnknownImage) {
		t.Errorf("not of an image: %s, %v", got, err)
	}
	boot(strings.Repeat("0", 64))
	if got, err := root.Image(); !errors.Is(err, seed.ErrUnknownImage) {
		t.Errorf("without a commit: %s, %v", got, err)
	}
}

func TestRootImageComposefs(t *testing.T) {
	t.Parallel()
	image, id := digest.FromString("image"), strings.Repeat("ab", 64)
	origin := "[origin]\ncontainer-image-reference = ostree-unverified-registry:h/a\nmanifest_digest=sha256:0\n\n[boot]\n"
	for text, want := range map[string]digest.Digest{
		origin + "[image]\nmanifest_digest = " + image.String() + "\n": image,
		origin: "", "": "", "[image]\nmanifest_digest=latest": "",
	} {
		for _, sysroot := range []string{"/sysroot", ""} {
			dir := t.TempDir()
			put(t, dir+"/proc/cmdline", "root=x composefs=?"+id)
			put(t, dir+sysroot+"/state/deploy/"+id+"/"+id+".origin", text)
			got, err := seed.NewRoot(dir).Image()
			if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, seed.ErrUnknownImage) {
				t.Errorf("%q: %s, %v", text, got, err)
			}
		}
	}
	for _, line := range []string{"", "composefs=../../etc", "composefs=" + id, "ostree=/ostree/none",
		"ostree=../../../etc/passwd"} {
		dir := t.TempDir()
		put(t, dir+"/proc/cmdline", line)
		if got, err := seed.NewRoot(dir).Image(); !errors.Is(err, seed.ErrUnknownImage) {
			t.Errorf("%q: %s, %v", line, got, err)
		}
	}
}
