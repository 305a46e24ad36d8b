package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	cmd := exec.CommandContext(t.Context(), generator[0], append(generator[1:], "-dryrun")...)
	cmd.Env = append(os.Environ(), "QUADLET_UNIT_DIRS="+dir)
	var log strings.Builder
	cmd.Stderr = &log
	made, err := cmd.Output()
	if err != nil {
		t.Fatalf("quadlet: %v\n%s", err, log.String())
	}
	for _, file := range files {
		unit := strings.TrimSuffix(filepath.Base(file), ".container") + ".service"
		_, text, found := strings.Cut(string(made), fmt.Sprintf("---%s---\n", unit))
		text, _, _ = strings.Cut(text, "\n---")
		if !found || !strings.Contains(text, `--health-cmd "CMD /strata status --ready"`) {
			t.Errorf("%s: %s\n%s", unit, text, log.String())
		}
		if err := os.WriteFile(filepath.Join(dir, unit), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		command(t, nil, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, unit))
	}
}
