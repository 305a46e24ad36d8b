package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/strata-oci/strata/proxy/programtest"
)

// released returns the file of "make release" that fits a pattern.
func released(tb testing.TB, pattern string) string {
	tb.Helper()
	dir := os.Getenv("STRATA_TEST_RELEASE")
	if dir == "" {
		tb.Skip("STRATA_TEST_RELEASE names no directory that make release wrote")
	}
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		tb.Fatalf("files %s in %s: %q, %v", pattern, dir, found, err)
	}
	return found[0]
}

// A packager installs, updates and removes the package in a root.
type packager struct {
	corpus, pattern string
	needs           []string
	install         func(root, file string) []string // again, it updates
	remove          func(root string) []string
}

// rpmDatabase is where the images of the corpus have it.
const rpmDatabase = "/usr/lib/sysimage/rpm"

func packagers() map[string]packager {
	rpmArch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	return map[string]packager{
		"deb": {
			"dpkg", "*_" + runtime.GOARCH + ".deb", []string{"chroot"},
			func(root, file string) []string {
				return []string{"chroot", root, "dpkg", "-i", "/tmp/" + filepath.Base(file)}
			},
			func(root string) []string { return []string{"chroot", root, "dpkg", "-r", "strata"} },
		},
		"rpm": {
			"rpm", "*." + rpmArch + ".rpm", []string{"rpm"},
			func(root, file string) []string {
				return []string{"rpm", "--root", root, "--dbpath", rpmDatabase, "-U", "--force", root + "/tmp/" +
					filepath.Base(file)}
			},
			func(root string) []string {
				return []string{"rpm", "--root", root, "--dbpath", rpmDatabase, "-e", "strata"}
			},
		},
	}
}

// The packages install into real systems: user, units, configuration, completions and manual are there, the program runs as
// that user with the configuration that came, an update leaves a changed configuration alone, and what is removed is gone.
func TestPackages(t *testing.T) {
	t.Parallel()
	for name, p := range packagers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := released(t, p.pattern)
			needRoot(t)
			need(t, p.needs...)
			u, tags := corpus(t, p.corpus)
			root := unpack(t, u.host()+"/os/image:"+tags[0])
			copyTo(t, file, root+"/tmp/"+filepath.Base(file))
			install := p.install(root, file)
			command(t, nil, install[0], install[1:]...)
			checkInstalled(t, root)
			runInstalled(t, root)
			config := root + "/etc/strata/config.yml"
			command(t, nil, "sed", "-i", "$a # changed by hand", config)
			command(t, nil, install[0], install[1:]...)
			if text := command(t, nil, "tail", "-n", "1", config); text != "# changed by hand\n" {
				t.Errorf("after an update the configuration ends with %q", text)
			}
			remove := p.remove(root)
			command(t, nil, remove[0], remove[1:]...)
			for _, gone := range []string{"/usr/bin/strata", "/usr/lib/systemd/system/strata.service"} {
				if _, err := os.Lstat(root + gone); err == nil {
					t.Errorf("%s stays when the package goes", gone)
				}
			}
		})
	}
}

// checkInstalled looks for what a package brings.
func checkInstalled(t *testing.T, root string) {
	t.Helper()
	for _, file := range []string{
		"/usr/lib/systemd/system/strata.socket", "/usr/lib/systemd/system/strata-operators.socket",
		"/usr/lib/systemd/system/strata-edge.service", "/usr/lib/sysusers.d/strata.conf",
		"/usr/share/bash-completion/completions/strata", "/usr/share/fish/vendor_completions.d/strata.fish",
		"/usr/share/man/man1/strata.1.gz", "/usr/share/man/man1/strata-serve.1.gz",
		"/usr/share/doc/strata/LICENSE", "/usr/share/doc/strata/deploy/strata-alerts.yml",
	} {
		if info, err := os.Stat(root + file); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	zsh, err := filepath.Glob(root + "/usr/share/zsh/*/_strata")
	if err != nil || len(zsh) != 1 {
		t.Errorf("completions of zsh: %q, %v", zsh, err)
	}
	command(t, nil, "chroot", root, "systemd-analyze", "verify", "--man=no",
		"/usr/lib/systemd/system/strata.service", "/usr/lib/systemd/system/strata-edge.service",
		"/usr/lib/systemd/system/strata.socket", "/usr/lib/systemd/system/strata-operators.socket")
	command(t, nil, "chroot", root, "systemctl", "enable", "strata.service", "strata.socket")
	if _, err := os.Lstat(root + "/etc/systemd/system/sockets.target.wants/strata.socket"); err != nil {
		t.Errorf("the socket cannot be enabled: %v", err)
	}
}

// runInstalled runs what strata.service runs, as its user, and ends it.
func runInstalled(t *testing.T, root string) {
	t.Helper()
	p := startInstalled(t, root)
	p.Terminate()
	if code := p.Wait(); code != 0 {
		t.Errorf("the installed program ended with %d", code)
	}
}

// startInstalled runs what strata.service runs, as its user, until the test ends.
func startInstalled(t *testing.T, root string) *programtest.Program {
	t.Helper()
	unit, err := os.ReadFile(root + "/usr/lib/systemd/system/strata.service")
	if err != nil {
		t.Fatal(err)
	}
	start := ""
	for line := range strings.Lines(string(unit)) {
		if rest, ok := strings.CutPrefix(line, "ExecStart="); ok {
			start = strings.TrimSpace(rest)
		}
	}
	if !strings.Contains(string(unit), "\nUser=strata\n") || start == "" {
		t.Fatalf("the unit has no user or no command:\n%s", unit)
	}
	fields := strings.Split(strings.TrimSpace(command(t, nil, "chroot", root, "getent", "passwd", "strata")), ":")
	uid, err := strconv.Atoi(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	// systemd makes it: StateDirectory=strata.
	state := root + "/var/lib/strata"
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, uid, uid); err != nil {
		t.Fatal(err)
	}
	return programtest.Run(t, inRoot(root, uid, strings.Fields(start), nil))
}

// inRoot is a command as a user of another root, in /var/lib/strata. What listens gets ports that are free.
func inRoot(root string, uid int, args, env []string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Path = args[0]
	cmd.Err = nil // it was looked for in this root
	cmd.Dir = "/var/lib/strata"
	cmd.Env = append([]string{"STRATA_LOG_FORMAT=json", "STRATA_LISTEN=127.0.0.1:0", "STRATA_ADMIN_LISTEN=127.0.0.1:0"},
		env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)},
	}
	return cmd
}

func copyTo(tb testing.TB, from, to string) {
	tb.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		tb.Fatal(err)
	}
}

// The container image has one entry for each architecture, runs as its user, and its health check passes while the program
// runs.
func TestReleasedImage(t *testing.T) {
	t.Parallel()
	archive := "oci-archive:" + released(t, "*-image.tar")
	needRoot(t)
	need(t, "skopeo", "umoci")
	var list struct {
		Manifests []struct{ Platform v1.Platform }
	}
	if err := json.Unmarshal([]byte(command(t, nil, "skopeo", "inspect", "--raw", archive)), &list); err != nil {
		t.Fatal(err)
	}
	for _, m := range list.Manifests {
		if m.Platform.OS != "linux" || len(released(t, "strata-*-linux-"+m.Platform.Architecture)) == 0 {
			t.Errorf("the image has one for %+v", m.Platform)
		}
	}
	dir := t.TempDir()
	command(t, nil, "skopeo", "--insecure-policy", "copy", "--quiet", archive, "dir:"+dir+"/docker")
	var manifest v1.Manifest
	readJSON(t, dir+"/docker/manifest.json", &manifest)
	var c v1.ConfigFile
	readJSON(t, dir+"/docker/"+manifest.Config.Digest.Hex, &c)
	if c.Config.User != "65532:65532" || c.Config.Healthcheck == nil || c.Config.Healthcheck.Test[0] != "CMD" {
		t.Fatalf("configuration: %+v", c.Config)
	}
	command(t, nil, "skopeo", "--insecure-policy", "copy", "--quiet", archive, "oci:"+dir+"/oci:image")
	command(t, nil, "umoci", "raw", "unpack", "--image", dir+"/oci:image", dir+"/root")
	p := programtest.Run(t, inRoot(dir+"/root", 65532, append(c.Config.Entrypoint, c.Config.Cmd...), nil))
	check := func() error {
		check := inRoot(dir+"/root", 65532, c.Config.Healthcheck.Test[1:],
			[]string{"STRATA_ADMIN_URL=http://" + p.Operators})
		if out, err := check.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	for end := time.Now().Add(programtest.Patience); ; time.Sleep(100 * time.Millisecond) {
		err := check()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	p.Terminate()
	p.Wait()
	if check() == nil {
		t.Error("the health check passes without a program that runs")
	}
}

func readJSON(tb testing.TB, file string, v any) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		tb.Fatal(err)
	}
}

// The checksums are of all other files, and the bill of materials of a program names it and what it was built of.
func TestReleasedFiles(t *testing.T) {
	t.Parallel()
	sums := released(t, "SHA256SUMS")
	need(t, "sha256sum")
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", filepath.Base(sums))
	cmd.Dir = filepath.Dir(sums)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Dir(sums))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines != len(files)-1 {
		t.Errorf("%d checksums of %d files", lines, len(files)-1)
	}
	var bill struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, Purl string }
	}
	readJSON(t, released(t, "*-linux-"+runtime.GOARCH+".cdx.json"), &bill)
	found := false
	for _, c := range bill.Components {
		found = found || c.Name == "github.com/distribution/distribution/v3" && c.Purl != ""
	}
	if bill.BOMFormat != "CycloneDX" || bill.Metadata.Component.Name != "github.com/strata-oci/strata" || !found {
		t.Errorf("bill of materials: %+v", bill.Metadata)
	}
}
