package client

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/auth"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

func TestConfigurationMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "not.pem"), "no certificate")
	for _, config := range []Config{
		{Config: transport.Config{URL: "ftp://x.test"}},
		{Config: transport.Config{URL: "https://u:hunter2@x.test"}},
		{Config: transport.Config{URL: "https://x.test/path"}},
		{Config: transport.Config{URL: "https://x.test?q"}},
		{Config: transport.Config{URL: "https://"}},
		{Config: transport.Config{URL: "https://[hunter2"}},
		{Login: auth.Login{Username: "u"}},
		{Login: auth.Login{Password: "hunter2"}},
		{Config: transport.Config{ClientCertFile: "x"}},
		{Config: transport.Config{ClientCertFile: filepath.Join(dir, "a"), ClientKeyFile: filepath.Join(dir, "b")}},
		{Config: transport.Config{CAFile: filepath.Join(dir, "missing")}},
		{Config: transport.Config{CAFile: filepath.Join(dir, "not.pem")}},
		{Attempts: -1},
		{Attempts: 21},
		{Config: transport.Config{Timeout: -1}},
	} {
		_, err := New(Options{Hosts: map[string]Config{"x.test": config}})
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: got %v", config, err)
		}
	}
	for _, host := range []string{"", "nodots", "x.test/path", "UPPER.test"} {
		if _, err := New(Options{Hosts: map[string]Config{host: {}}}); err == nil {
			t.Errorf("host %q is accepted", host)
		}
	}
	if _, err := New(Options{Hosts: map[string]Config{"docker.io": {}, "index.docker.io": {}}}); err == nil {
		t.Error("one registry under two names is accepted")
	}
}

func TestDockerHubNames(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path)
		fmt.Fprint(w, someIndex)
	})
	c, _ := client(t, "", func(s *setup) { s.options.Hosts = map[string]Config{"docker.io": at(srv.URL)} })
	for _, repo := range []name.Repository{
		nametest.Repository("docker.io/alpine"), nametest.Repository("index.docker.io/library/alpine"),
		nametest.Repository("registry-1.docker.io/org/app"),
	} {
		if _, err := c.Manifest(t.Context(), repo, "latest"); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"/v2/library/alpine/manifests/latest", "/v2/library/alpine/manifests/latest",
		"/v2/org/app/manifests/latest"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
}

type counter struct {
	mu    sync.Mutex
	lines []string
	bytes int
}

func (c *counter) add(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, line)
}
func (c *counter) Request(host, method string, status int) {
	c.add(fmt.Sprintf("%s %s %d", host, method, status))
}
func (c *counter) Error(host string, kind upstream.Kind) { c.add(fmt.Sprintf("%s %s", host, kind)) }
func (c *counter) Bytes(_ string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += n
}

func TestObserverAndUserAgent(t *testing.T) {
	t.Parallel()
	calls := 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("User-Agent"); got != "strata/1.2" {
			t.Errorf("User-Agent %q", got)
		}
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, someIndex)
	})
	var seen counter
	c, _ := client(t, srv.URL, func(s *setup) { s.options.Observer, s.options.UserAgent = &seen, "strata/1.2" })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Fatal(err)
	}
	want := []string{"registry.test GET 502", "registry.test unavailable", "registry.test GET 200"}
	if diff := cmp.Diff(want, seen.lines); diff != "" || seen.bytes != len(someIndex) {
		t.Errorf("%d bytes: %s", seen.bytes, diff)
	}
}
