package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quadlet is podman's generator of units: this machine's, or that of the clients that .ci/clients sets up.
func quadlet(tb testing.TB) []string {
	tb.Helper()
	const program = "/usr/libexec/podman/quadlet"
	if _, err := os.Stat(program); err == nil {
		return []string{program}
	}
	root := filepath.Join(filepath.Dir(os.Getenv("STRATA_TEST_PODMAN")), "root")
	if _, err := os.Stat(root + program); err != nil {
		tb.Skipf("no %s, and STRATA_TEST_PODMAN names no podman of .ci/clients beside one", program)
	}
	needRoot(tb)
	return []string{
		"unshare", "--mount", "sh", "-c", `mount --bind "$0/usr" /usr && exec "$@"`, root, program,
	}
}

// podman takes the quadlets, what it makes of them are units, and their health check needs no shell, which the image lacks:
// the word CMD says so.
func TestQuadlets(t *testing.T) {
	t.Parallel()
	generator := quadlet(t)
	need(t, "systemd-analyze")
	dir := t.TempDir()
	files, err := filepath.Glob("../../docs/deploy/*.container")
	if err != nil || len(files) != 2 {
		t.Fatalf("quadlets: %q, %v", files, err)
	}
	for _, file := range files {
		copyTo(t, file, filepath.Join(dir, filepath.Base(file)))
	}
	made := units(t, generator, dir)
	for _, file := range files {
		unit := strings.TrimSuffix(filepath.Base(file), ".container") + ".service"
		_, text, found := strings.Cut(made, fmt.Sprintf("---%s---\n", unit))
		text, _, _ = strings.Cut(text, "\n---")
		if !found || !strings.Contains(text, `--health-cmd "CMD /strata status --ready"`) {
			t.Errorf("%s: %s", unit, text)
		}
		if err := os.WriteFile(filepath.Join(dir, unit), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		command(t, nil, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, unit))
	}
}

// units has podman's generator make units of the quadlets in a directory.
func units(t *testing.T, generator []string, dir string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), generator[0], append(generator[1:], "-dryrun")...)
	cmd.Env = append(os.Environ(), "QUADLET_UNIT_DIRS="+dir)
	var log strings.Builder
	cmd.Stderr = &log
	made, err := cmd.Output()
	if err != nil || strings.Contains(log.String(), "unsupported key") {
		t.Fatalf("quadlet: %v\n%s", err, log.String())
	}
	return string(made)
}

// The quadlets that clients.md shows are some, too.
func TestQuadletsInDocuments(t *testing.T) {
	t.Parallel()
	generator := quadlet(t)
	need(t, "systemd-analyze")
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	shown := regexp.MustCompile("(?s)```ini\n# /etc/containers/systemd/(\\S+)\n(.*?)```").FindAllStringSubmatch(string(page),
		-1)
	if len(shown) < 2 {
		t.Fatalf("clients.md shows %d quadlets", len(shown))
	}
	for _, m := range shown {
		if err := os.WriteFile(filepath.Join(dir, m[1]), []byte(m[2]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made := units(t, generator, dir)
	for _, part := range strings.Split(made, "\n---")[1:] {
		unit, text, _ := strings.Cut(part, "---\n")
		if err := os.WriteFile(filepath.Join(dir, unit), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "strata.service"))
	if err != nil || !strings.Contains(string(text), "status") ||
		!strings.Contains(string(text), "strata-data:/var/lib/strata") {
		t.Errorf("%v: %s", err, made)
	}
	command(t, nil, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, "strata.service"))
}
