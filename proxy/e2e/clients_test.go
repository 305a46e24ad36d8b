package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// need skips a test for which a program is missing.
func need(tb testing.TB, programs ...string) {
	tb.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			tb.Skipf("%s is not installed", p)
		}
	}
}

// needRoot skips a test that keeps owners and attributes on disk.
func needRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("it needs root, to keep owners, devices and attributes on disk")
	}
}

// command runs a program with further environment and returns what it prints.
func command(tb testing.TB, env []string, program string, args ...string) string {
	tb.Helper()
	out, err := try(tb, env, program, args...)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// commandError is the end of a program that failed.
type commandError struct {
	line, stderr string
	err          error
}

func (e *commandError) Error() string { return e.line + ": " + e.err.Error() + "\n" + e.stderr }
func (e *commandError) Unwrap() error { return e.err }

// try is command for programs that may fail.
func try(tb testing.TB, env []string, program string, args ...string) (string, error) {
	tb.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(tb.Context(), program, args...)
	// The program takes variables of its prefix for keys of its configuration.
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "STRATA_TEST_") })
	c.Env = append(c.Env, env...)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return stdout.String(), &commandError{strings.Join(append([]string{filepath.Base(program)}, args...), " "),
			stderr.String(), err}
	}
	return stdout.String(), nil
}

// skopeo copies an image of a registry into an OCI layout, "DIR:TAG".
func skopeo(tb testing.TB, image, layout string, flags ...string) {
	tb.Helper()
	args := append([]string{"--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"}, flags...)
	command(tb, nil, "skopeo", append(args, "docker://"+image, "oci:"+layout)...)
}

// unpack makes a directory of an image with umoci: of the original, or of a served one, whose zstd it can't read.
func unpack(tb testing.TB, image string) string {
	tb.Helper()
	need(tb, "skopeo", "umoci")
	dir := tb.TempDir()
	skopeo(tb, image, dir+"/layout:image", "--dest-compress-format", "gzip", "--dest-compress-level", "1")
	command(tb, nil, "umoci", "raw", "unpack", "--image", dir+"/layout:image", dir+"/root")
	return dir + "/root"
}

// podman is a containers-storage of a test's own.
type podman struct {
	tb      testing.TB
	dir     string
	env     []string
	program string
}

func newPodman(tb testing.TB) *podman {
	tb.Helper()
	need(tb, "podman")
	needRoot(tb)
	p := &podman{tb: tb, dir: tb.TempDir(), program: "podman"}
	conf := filepath.Join(p.dir, "storage.conf")
	text := "[storage]\ndriver = \"" + storageDriver(tb) + "\"\ngraphroot = \"" + p.dir + "/root\"\nrunroot = \"" + p.dir +
		"/run\"\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	policy := filepath.Join(p.dir, "policy.json")
	if err := os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
		tb.Fatal(err)
	}
	p.env = []string{"CONTAINERS_STORAGE_CONF=" + conf}
	tb.Cleanup(func() {
		_, _ = try(tb, p.env, p.program, p.args("image", "unmount", "--all", "--force")...)
		// The driver mounts its own directory.
		_ = syscall.Unmount(p.dir+"/root/overlay", syscall.MNT_DETACH)
	})
	return p
}

func (p *podman) args(args ...string) []string {
	return append([]string{"--tmpdir", p.dir + "/tmp", "--events-backend", "none", "--cgroup-manager", "cgroupfs"}, args...)
}

// pull pulls an image and returns its id.
func (p *podman) pull(image string) string {
	p.tb.Helper()
	args := p.args("pull", "--quiet", "--tls-verify=false", "--signature-policy", p.dir+"/policy.json", image)
	return strings.TrimSpace(command(p.tb, p.env, p.program, args...))
}

// mount returns a directory with an image's filesystem.
func (p *podman) mount(image string) string {
	p.tb.Helper()
	return strings.TrimSpace(command(p.tb, p.env, p.program, p.args("image", "mount", image)...))
}

// storageDriver is overlay where the kernel can stack directories of the temporary filesystem, else the slow one that
// copies.
func storageDriver(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	options := "lowerdir=" + dir + "/lower,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	if err := syscall.Mount("overlay", dir+"/merged", "overlay", 0, options); err != nil {
		return "vfs"
	}
	if err := syscall.Unmount(dir+"/merged", 0); err != nil {
		tb.Error(err)
	}
	return "overlay"
}

// reference parses the name of an image at the proxy.
func reference(tb testing.TB, image string) name.Reference {
	tb.Helper()
	ref, err := name.ParseReference(image)
	if err != nil {
		tb.Fatal(err)
	}
	return ref
}

// crane gets an image as the library of the crane command does.
func crane(tb testing.TB, image string) v1.Image {
	tb.Helper()
	img, err := remote.Image(reference(tb, image), remote.WithContext(tb.Context()))
	if err != nil {
		tb.Fatal(err)
	}
	return img
}

// rawManifest gets an image's manifest as it is.
func rawManifest(tb testing.TB, image string) []byte {
	tb.Helper()
	raw, err := crane(tb, image).RawManifest()
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// manifest gets an image's manifest.
func manifest(tb testing.TB, image string) ocispec.Manifest {
	tb.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal(rawManifest(tb, image), &m); err != nil {
		tb.Fatal(err)
	}
	return m
}

// layersSize sums up the layers that are in m and not in had, each once.
func layersSize(m ocispec.Manifest, had ...ocispec.Manifest) int64 {
	seen := map[string]bool{}
	for _, h := range had {
		for _, l := range h.Layers {
			seen[l.Digest.String()] = true
		}
	}
	var n int64
	for _, l := range m.Layers {
		if !seen[l.Digest.String()] {
			seen[l.Digest.String()] = true
			n += l.Size
		}
	}
	return n
}
