package e2e

import (
	"bytes"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/strata-oci/strata/proxy/programtest"
)

// An S3 server that hangs: what this replica served goes on, the rest is told to come back, the operators are told, and all
// is well again when the server is.
func TestStorageHangs(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	b := newBucket(t)
	p := newProxy(t, u, proxyOptions{storage: b.yaml()})
	had, err := pullWhole(t.Context(), p, "v1")
	if err != nil {
		t.Fatal(err)
	}
	layer := manifest(t, p.image("os/image:v1")).Layers[0].Digest
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		resp := p.get(upstreamHost + "/os/image/manifests/v1")
		got, _ := body(t, resp)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Strata-Served") != "stale" || !bytes.Equal(got, had) {
			t.Fatalf("known tag: %s, %q: %s", resp.Status, resp.Header.Get("Strata-Served"), got)
		}
	}
	for _, path := range []string{"blobs/" + layer.String(), "manifests/v2"} {
		resp := p.get(upstreamHost + "/os/image/" + path)
		got, _ := body(t, resp)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" ||
			!strings.Contains(string(got), "storage cannot be reached") {
			t.Errorf("%s: %s, Retry-After %q: %s", path, resp.Status, resp.Header.Get("Retry-After"), got)
		}
	}
	if ready(t, p) {
		t.Error("it says that it is ready")
	}
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "the replica's recovery", func() bool { return ready(t, p) })
	if got, err := pullWhole(t.Context(), p, "v1"); err != nil || !bytes.Equal(got, had) {
		t.Errorf("after the outage: %v", err)
	}
	told := func(l programtest.Line) bool {
		msg, _ := l["msg"].(string)
		return strings.HasPrefix(msg, "storage cannot be reached")
	}
	if n := len(p.Log.Find(told)); n != 1 {
		t.Errorf("the outage was logged %d times", n)
	}
}

// ready asks for readiness as a balancer does.
func ready(t *testing.T, p *proxy) bool {
	t.Helper()
	resp, err := http.Get("http://" + p.Operators + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
