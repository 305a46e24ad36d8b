package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// systemd finds nothing wrong with the units.
func TestUnits(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze")
	}
	dir := t.TempDir()
	var units []string
	for _, pattern := range []string{"*.service", "*.socket"} {
		files, err := filepath.Glob(filepath.Join(repositoryRoot, "docs/deploy", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no units %s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			unit := filepath.Join(dir, filepath.Base(file))
			installed := strings.ReplaceAll(string(text), "/usr/local/bin/strata", "/bin/true")
			if err := os.WriteFile(unit, []byte(installed), 0o600); err != nil {
				t.Fatal(err)
			}
			units = append(units, unit)
		}
	}
	cmd := exec.CommandContext(t.Context(), analyze,
		append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// What clients.md shows is the unit in docs/deploy.
func TestUnitInDocuments(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(repositoryRoot, "docs/clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile(filepath.Join(repositoryRoot, "docs/deploy/strata.service"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(unit), "[Unit]")
	if !strings.Contains(string(page), "[Unit]"+body+"```") {
		t.Error("docs/clients.md shows another unit than docs/deploy/strata.service")
	}
}

// The alert rules and the dashboard ask for metrics that there are; promtool takes the rules.
func TestAlertsAndDashboard(t *testing.T) {
	t.Parallel()
	known, err := os.ReadFile(filepath.Join(repositoryRoot, "proxy/metrics/metrics.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"strata-alerts.yml", "grafana-strata.json"} {
		file := filepath.Join(repositoryRoot, "docs/deploy", name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		asked := regexp.MustCompile(`strata_[a-z_]+`).FindAllString(string(text), -1)
		if len(asked) < 10 {
			t.Errorf("%s asks for %d metrics", name, len(asked))
		}
		for _, metric := range asked {
			if !strings.Contains(string(known), "//\t"+strings.TrimSuffix(metric, "_bucket")+" ") {
				t.Errorf("%s asks for %s, which there is not", name, metric)
			}
		}
		if promtool, err := exec.LookPath("promtool"); err == nil && strings.HasSuffix(name, ".yml") {
			if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
				t.Errorf("promtool: %v\n%s", err, out)
			}
		}
	}
}
