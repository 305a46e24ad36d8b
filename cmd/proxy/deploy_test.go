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
		files, err := filepath.Glob(filepath.Join(root, "docs/deploy", pattern))
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
	page, err := os.ReadFile(filepath.Join(root, "docs/clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile(filepath.Join(root, "docs/deploy/strata.service"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(unit), "[Unit]")
	if !strings.Contains(string(page), "[Unit]"+body+"```") {
		t.Error("docs/clients.md shows another unit than docs/deploy/strata.service")
	}
}

// kubeconform holds objects of Kubernetes against its schemas.
func kubeconform(t *testing.T, objects string) {
	t.Helper()
	schemas, err := filepath.Abs(filepath.Join(root, "bin/tools/kubernetes"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := tool("kubeconform")
	if err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat(schemas); err != nil {
		t.Skipf("no schemas of Kubernetes, see .ci/release/tools: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-strict", "-skip", "ServiceMonitor",
		"-schema-location", schemas+"/{{.ResourceKind}}{{.KindSuffix}}.json")
	cmd.Stdin = strings.NewReader(objects)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("kubeconform: %v\n%s", err, out)
	}
}

// tool finds a program where .ci/release/tools puts it, or in PATH.
func tool(name string) (string, error) {
	if program, err := filepath.Abs(filepath.Join(root, "bin/tools", name)); err == nil {
		if _, err := os.Stat(program); err == nil {
			return program, nil
		}
	}
	return exec.LookPath(name)
}

// The objects for Kubernetes are well formed.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs/deploy/kubernetes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	kubeconform(t, string(text))
}

// The chart makes well-formed objects, and a configuration that strata serve takes.
func TestChart(t *testing.T) {
	t.Parallel()
	helm, err := tool("helm")
	if err != nil {
		t.Skip(err)
	}
	scaled := []string{
		"replicas=3", "config.storage.s3.bucket=b", "config.storage.s3.region=r", "config.redis.address=redis:6379",
		"metrics.serviceMonitor=true", "env[0].name=STRATA_UPSTREAMS_GHCR_IO_USERNAME", "env[0].value=u",
	}
	for _, tc := range []struct {
		name   string
		values []string
		fails  string
		holds  []string
	}{
		{"one", nil, "", []string{"kind: PersistentVolumeClaim", "type: Recreate", "path: /livez", "path: /readyz",
			"rootdirectory:"}},
		{"three", scaled, "", []string{"replicas: 3", "kind: ServiceMonitor", "kind: PodDisruptionBudget",
			"type: RollingUpdate"}},
		{"three on a directory", []string{"replicas=3"}, "config.storage.s3", nil},
		{"three without Redis", scaled[:3], "config.redis.address", nil},
		{"a mistyped value", []string{"replica=3"}, "replica", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"template", "test", filepath.Join(root, "docs/deploy/chart"), "--kube-version",
				"1.37.0"}
			for _, v := range tc.values {
				args = append(args, "--set", v)
			}
			out, err := exec.CommandContext(t.Context(), helm, args...).CombinedOutput()
			if tc.fails != "" {
				if err == nil || !strings.Contains(string(out), tc.fails) {
					t.Errorf("helm: %v\n%s", err, out)
				}
				return
			}
			if err != nil {
				t.Fatalf("helm: %v\n%s", err, out)
			}
			for _, want := range tc.holds {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			checkChartConfiguration(t, string(out))
			kubeconform(t, string(out))
		})
	}
}

// checkChartConfiguration has strata serve --check read the configuration in a chart's objects.
func checkChartConfiguration(t *testing.T, objects string) {
	t.Helper()
	_, text, _ := strings.Cut(objects, "  config.yml: |\n")
	text, _, _ = strings.Cut(text, "\n---\n")
	dir := t.TempDir()
	config, token := filepath.Join(dir, "config.yml"), filepath.Join(dir, "token")
	for file, content := range map[string]string{config: text, token: strings.Repeat("0", 40)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	s := &streams{out: &out, err: &out, env: []string{"STRATA_ADMIN_TOKEN_FILE=" + token}}
	if strings.Contains(text, "s3:") {
		s.env = append(s.env, "STRATA_STORAGE_S3_ACCESSKEY=a", "STRATA_STORAGE_S3_SECRETKEY=b")
	}
	if code := run(t.Context(), []string{"serve", "--check", "--config", config}, s); code != 0 {
		t.Errorf("strata serve --check: %d\n%s\n%s", code, out.String(), text)
	}
}

// The alert rules and the dashboard ask for metrics that there are.
func TestAlertsAndDashboard(t *testing.T) {
	t.Parallel()
	known, err := os.ReadFile(filepath.Join(root, "proxy/metrics/metrics.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"strata-alerts.yml", "grafana-strata.json"} {
		file := filepath.Join(root, "docs/deploy", name)
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
	}
}

// promtool takes the alert rules, and each fires for what it is there for (testdata/alerts), and not before.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	promtool, err := tool("promtool")
	if err != nil {
		t.Skip(err)
	}
	rules, err := os.ReadFile(filepath.Join(root, "docs/deploy/strata-alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("testdata/alerts/test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, alert := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(tests), `"`+alert[1]+`"`) {
			t.Errorf("no test has %s fire", alert[1])
		}
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{"strata-alerts.yml": rules, "test.yml": tests} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"check", "rules", dir + "/strata-alerts.yml"}, {"test", "rules", dir + "/test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", args[0], err, out)
		}
	}
}
