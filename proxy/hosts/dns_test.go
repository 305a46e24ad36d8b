package hosts

import (
	"encoding/pem"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// authorityPEM is a certificate as a file has it.
func authorityPEM(t *testing.T) string {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// Where DNS leads names to the proxy, the authority counts for their registries, and no file sends them elsewhere.
func TestDNS(t *testing.T) {
	t.Parallel()
	s := Setup{
		Name: "proxy.example", DNS: true, Images: []string{"ghcr.io/ublue-os/bluefin:stable", "docker.io"},
		Proxy: Proxy{Keys: []string{publicKey(t)}, CA: authorityPEM(t)},
	}
	c, err := Make(s)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range c.Files {
		paths = append(paths, f.Path)
	}
	for _, want := range []string{"/etc/containers/certs.d/ghcr.io/ca.crt", "/etc/containers/certs.d/docker.io/ca.crt",
		"/etc/docker/certs.d/ghcr.io/ca.crt", "/etc/containerd/certs.d/ghcr.io/hosts.toml"} {
		if !slices.Contains(paths, want) {
			t.Errorf("no %s among %v", want, paths)
		}
	}
	if text := content(c, ".conf"); text != "" {
		t.Errorf("names are sent elsewhere: %s", text)
	}
	if text := content(c, "daemon.json"); text != "" {
		t.Errorf("docker is given a mirror: %s", text)
	}
	toml := content(c, "certs.d/docker.io/hosts.toml")
	if !strings.Contains(toml, `[host."https://registry-1.docker.io"]`) ||
		strings.Contains(toml, `host."https://proxy.example`) {
		t.Error(toml)
	}
	if !strings.Contains(content(c, ".yaml"), "ghcr.io/ublue-os/bluefin:\n    use-sigstore-attachments: true") {
		t.Error(content(c, ".yaml"))
	}
	if !slices.ContainsFunc(c.Notes, func(n string) bool { return strings.Contains(n, "answer_as") }) {
		t.Errorf("%v", c.Notes)
	}
	for want, as := range map[string][]string{
		"does not answer as ghcr.io, docker.io:": {},
		"does not answer as docker.io:":          {"ghcr.io"},
		"which answers as that":                  {"docker.io", "ghcr.io"},
	} {
		s.Proxy.AnswersAs = as
		c, err := Make(s)
		if err != nil || !slices.ContainsFunc(c.Notes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("answer_as %v: %v, %v", as, c.Notes, err)
		}
	}
	for _, wrong := range []Setup{{Name: "p.example", DNS: true}, {Name: "p.example", DNS: true, Images: []string{"ghcr.io"},
		Proxy: Proxy{Insecure: true}}} {
		if _, err := Make(wrong); err == nil || !strings.Contains(err.Error(), "HTTPS") {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}
