package e2e

import (
	"bytes"
	"encoding/csv"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The balancer of docs/deploy finds replicas well that ask for a login, and leaves one that is gone.
func TestHaproxy(t *testing.T) {
	t.Parallel()
	need(t, "haproxy")
	text, err := os.ReadFile("../../docs/deploy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	u := newUpstream(t)
	u.push("os/image:v1", series(true)[0])
	one, two := newGuarded(t, u, "false"), newGuarded(t, u, "false")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := listener.Addr().String()
	config := string(text)
	for shipped, here := range map[string]string{
		"bind :5000": "bind " + front, "strata-one:5000": one.Clients, "strata-two:5000": two.Clients,
	} {
		if strings.Count(config, shipped) != 1 {
			t.Fatalf("haproxy.cfg has not one %q", shipped)
		}
		config = strings.Replace(config, shipped, here, 1)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	control := filepath.Join(filepath.Dir(file), "control")
	config = "global\n  stats socket " + control + "\n" + config
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, nil, "haproxy", "-c", "-f", file)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	startHaproxy(t, file)
	pulls := func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			"http://"+front+"/v2/"+upstreamHost+"/os/image/manifests/v1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("alice", "wonder")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		return resp.StatusCode == http.StatusOK && resp.Body.Close() == nil
	}
	until(t, "haproxy's word for both", func() bool { return found(t, control, "one") == "L7OK" && found(t, control, "two") == "L7OK" })
	until(t, "a pull", pulls)
	one.Terminate()
	if code := one.Wait(); code != 0 {
		t.Errorf("strata serve ended with %d", code)
	}
	until(t, "haproxy's word for the one that ended", func() bool { return found(t, control, "one") != "L7OK" })
	for range 2 { // whichever's turn it is
		until(t, "a pull", pulls)
	}
}

// found is what the balancer's last look at a server gave.
func found(tb testing.TB, control, server string) string {
	tb.Helper()
	c, err := net.Dial("unix", control)
	if err != nil {
		return "" // not yet
	}
	defer c.Close()
	if _, err := io.WriteString(c, "show stat\n"); err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		tb.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("# ")))).ReadAll()
	if err != nil || len(rows) == 0 {
		tb.Fatalf("%v\n%s", err, b)
	}
	status := slices.Index(rows[0], "check_status")
	for _, row := range rows {
		if row[0] == "strata" && row[1] == server {
			return row[status]
		}
	}
	return ""
}

// startHaproxy runs haproxy with a configuration for the length of a test.
func startHaproxy(t *testing.T, file string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "haproxy", "-db", "-f", file)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
}
