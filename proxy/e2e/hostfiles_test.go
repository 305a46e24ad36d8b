package e2e

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/strata-oci/strata/proxy/oneshot/imagetest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// host is a root with the files of strata client-config. Programs see its /etc/containers and /etc/pki in place of the
// machine's.
type host struct {
	tb   testing.TB
	root string
}

func newHost(tb testing.TB) *host {
	tb.Helper()
	need(tb, "unshare")
	needRoot(tb)
	h := &host{tb, tb.TempDir()}
	h.write("etc/containers/policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`)
	h.write("etc/pki/.keep", "")
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.root, name) }

func (h *host) write(name, content string) {
	h.tb.Helper()
	if err := os.MkdirAll(filepath.Dir(h.path(name)), 0o755); err != nil {
		h.tb.Fatal(err)
	}
	if err := os.WriteFile(h.path(name), []byte(content), 0o600); err != nil {
		h.tb.Fatal(err)
	}
}

// run runs a program as it would run on the host.
func (h *host) run(program string, args ...string) (string, error) {
	h.tb.Helper()
	const mounts = `mkdir -p /etc/pki; mount --bind "$0/etc/containers" /etc/containers && mount --bind "$0/etc/pki" /etc/pki && exec "$@"`
	return try(h.tb, nil, "unshare", append([]string{"--mount", "sh", "-c", mounts, h.root, program}, args...)...)
}

// signingSkopeo is a skopeo that makes and checks sigstore's signatures, with several keys: STRATA_TEST_SKOPEO, or the one
// that is installed. Debian 12's does neither.
func signingSkopeo(tb testing.TB) string {
	tb.Helper()
	path, ok := newestSkopeo(tb)
	if !ok {
		tb.Skip("this skopeo doesn't check signatures of sigstore by several keys: set STRATA_TEST_SKOPEO to one from 1.17 on")
	}
	return path
}

// newestSkopeo is the newest that there is, and whether it checks signatures.
func newestSkopeo(tb testing.TB) (path string, signing bool) {
	tb.Helper()
	path = cmp.Or(os.Getenv("STRATA_TEST_SKOPEO"), "skopeo")
	need(tb, path)
	version := strings.TrimPrefix(strings.TrimSpace(command(tb, nil, path, "--version")), "skopeo version ")
	minor := 0
	_, err := fmt.Sscanf(version, "1.%d", &minor)
	return path, err == nil && minor >= 17
}

// pullAnything has skopeo copy an image whoever signed it.
func pullAnything(tb testing.TB, image string) error {
	tb.Helper()
	path, _ := newestSkopeo(tb)
	_, err := try(tb, nil, path, "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "docker://"+image,
		"dir:"+tb.TempDir())
	return err
}

// signedRegistry is a registry that stands for a proxy which signs: it has registry.example/team/os:1 under that name, with
// signatures for the logical name and for its own, made by skopeo with the key PREFIX.key.
func signedRegistry(tb testing.TB, skopeo, prefix string) (address string) {
	tb.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	tb.Cleanup(s.Close)
	address = s.Listener.Addr().String()
	if _, _, err := net.SplitHostPort(address); err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	imagetest.Image{Layers: [][]treetest.Item{{treetest.File("etc/os-release", "ID=test\n")}}}.Write(tb, "oci:"+dir+":1")
	attach := filepath.Join(tb.TempDir(), "attach.yaml")
	text := "docker:\n  \"" + address + "\":\n    use-sigstore-attachments: true\n"
	if err := os.WriteFile(attach, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	password := filepath.Join(tb.TempDir(), "password")
	if err := os.WriteFile(password, []byte("\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	at := address + "/registry.example/team/os:1"
	for _, identity := range []string{"registry.example/team/os:1", at} {
		command(tb, nil, skopeo, "--insecure-policy", "--registries.d", filepath.Dir(attach), "copy", "--quiet",
			"--dest-tls-verify=false", "--sign-by-sigstore-private-key", prefix+".key", "--sign-passphrase-file", password,
			"--sign-identity", identity, "oci:"+dir+":1", "docker://"+at)
	}
	return address
}

// generateKey makes PREFIX.key and PREFIX.pub.
func generateKey(tb testing.TB, name string) (prefix string) {
	tb.Helper()
	prefix = filepath.Join(tb.TempDir(), name)
	command(tb, nil, program, "key", "generate", prefix)
	return prefix
}

// The files of client-config, as they are: what the proxy signed is pulled by its own name and through the mirror, by tag
// and by digest, where the policy enforces signatures; what another key signed is not.
func TestClientConfig(t *testing.T) {
	t.Parallel()
	skopeo := signingSkopeo(t)
	ours, others := generateKey(t, "ours"), generateKey(t, "others")
	address := signedRegistry(t, skopeo, ours)
	const image = "registry.example/team/os"
	fleet := `{"default":[{"type":"reject"}],"transports":{"docker":{"":[{"type":"insecureAcceptAnything"}],"registry.example":` +
		`[{"type":"reject"}]}}}`
	const merged = `{"default":[{"type":"reject"}],"transports":{"docker":{"registry.example":[{"type":"sigstoreSigned",` +
		`"keyPath":"/etc/pki/fleet.pub","signedIdentity":{"type":"matchRepository"}}],"other.example":[{"type":"reject"}]}}}`
	for _, tt := range []struct {
		name, key, policy string
		flags             []string
		logical, own      string // what refuses; "" for a pull that works
	}{
		{name: "signed", key: ours, flags: []string{"--no-fallback"}},
		{name: "by another key", key: others, flags: []string{"--no-fallback"},
			logical: "cryptographic signature verification failed", own: "cryptographic signature verification failed"},
		{name: "mirror without a key of the registry", key: ours},
		{name: "rejected by name", key: ours, policy: fleet, logical: "is rejected by policy"},
		{name: "merged", key: ours, policy: merged, flags: []string{"--no-fallback"}, own: "is rejected by policy"},
		{name: "merged, by another key", key: generateKey(t, "third"), policy: merged, flags: []string{"--no-fallback"},
			logical: "cryptographic signature verification failed", own: "is rejected by policy"},
		{name: "default reject", key: ours, policy: `{"default":[{"type":"reject"}]}`, flags: []string{"--admit"}},
		{name: "default reject, not admitted", key: ours, policy: `{"default":[{"type":"reject"}]}`,
			logical: "is rejected by policy", own: "is rejected by policy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			if tt.policy != "" {
				h.write("etc/containers/policy.json", tt.policy)
			}
			h.write("etc/pki/fleet.pub", readFile(t, others+".pub"))
			args := append([]string{"client-config", "--insecure", "--key", tt.key + ".pub", "--write", h.root}, tt.flags...)
			command(t, nil, program, append(args, address, image)...)
			digest := strings.TrimSpace(command(t, nil, skopeo, "--insecure-policy", "inspect", "--tls-verify=false",
				"--no-tags",
				"--format", "{{.Digest}}", "docker://"+address+"/"+image+":1"))
			for _, ref := range []string{":1", "@" + digest} {
				h.pull(skopeo, "docker://"+image+ref, tt.logical)
				h.pull(skopeo, "docker://"+address+"/"+image+ref, tt.own)
			}
		})
	}
}

// pull copies an image as the host would; want is what refuses it.
func (h *host) pull(skopeo, image, want string) {
	h.tb.Helper()
	_, err := h.run(skopeo, "copy", "--quiet", image, "dir:"+h.tb.TempDir())
	switch {
	case want == "" && err != nil:
		h.tb.Errorf("%s: %v", image, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		h.tb.Errorf("%s: %v, want %q", image, err, want)
	}
}

// A proxy that signs, a host whose policy rejects what it does not name, and what client-config wrote: images come by both
// names, by tag and by digest, doctor finds nothing, and the file of an export brings the signatures to a proxy without a
// network. Where the client refuses, doctor says so, too.
func TestSignedHost(t *testing.T) {
	t.Parallel()
	skopeo := signingSkopeo(t)
	prefix := generateKey(t, "proxy")
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{top: "signing: {key_file: " + prefix + ".key, names: [host]}\n",
		rule: "sign: unverified"})
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "names: [host]", "names: [\""+p.Clients+"\"]", 1))
	if err := os.WriteFile(p.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, nil, program, "reload", "--admin", "http://"+p.Operators)
	logical, own := upstreamHost+"/os/image", p.Clients+"/"+upstreamHost+"/os/image"
	setUp := func(host *host, address string, flags ...string) {
		host.write("etc/containers/policy.json", `{"default":[{"type":"reject"}]}`)
		args := append([]string{"client-config", "--admin", "http://" + p.Operators, "--admit", "--no-fallback", "--write",
			host.root}, flags...)
		command(t, nil, program, append(args, address, upstreamHost)...)
	}
	h := newHost(t)
	setUp(h, p.Clients)
	digest := p.wantManifest("os/image/manifests/v1", 200, "rechunked").String()
	for _, image := range []string{logical + ":v1", logical + "@" + digest, own + ":v1", own + "@" + digest} {
		h.both(skopeo, image, true)
	}
	h.write("etc/containers/registries.d/50-strata-"+strings.ReplaceAll(p.Clients, ":", "-")+".yaml", "")
	h.both(skopeo, logical+":v1", false)
	setUp(h, p.Clients)
	h.write("etc/pki/containers/strata-"+strings.ReplaceAll(p.Clients, ":", "-")+".pub",
		readFile(t, generateKey(t, "x")+".pub"))
	h.both(skopeo, own+":v1", false)
}

// both pulls an image with the client and asks doctor whether that would work; they have to agree.
func (h *host) both(skopeo, image string, works bool) {
	h.tb.Helper()
	_, pulled := h.run("env", "HOME="+h.path("root"), skopeo, "copy", "--quiet", "docker://"+image, "dir:"+h.tb.TempDir())
	said, looked := try(h.tb, nil, program, "doctor", "--root", h.root, "--bootc", "1.16.9", image)
	if (pulled == nil) != works || (looked == nil) != works {
		h.tb.Errorf("%s: pulled: %v; doctor: %v\n%s", image, pulled, looked, said)
	}
}

func readFile(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// The file of an export is read by the clients that are installed, and a proxy that reaches no registry serves it.
func TestExportedArchive(t *testing.T) {
	t.Parallel()
	need(t, "skopeo")
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{})
	file := filepath.Join(t.TempDir(), "os.tar")
	image := upstreamHost + "/os/image:v1"
	command(t, nil, program, "export", p.Clients+"/"+image, file)
	digest := p.wantManifest("os/image/manifests/v1", 200, "rechunked").String()
	got := command(t, nil, "skopeo", "--insecure-policy", "inspect", "--format", "{{.Digest}}",
		"oci-archive:"+file+":"+image)
	if strings.TrimSpace(got) != digest {
		t.Errorf("skopeo reads %s, not %s", got, digest)
	}
	store := newPodman(t)
	command(t, store.env, "podman", store.args("pull", "--quiet", "--signature-policy", store.dir+"/policy.json",
		"oci-archive:"+file+":"+image)...)
	p.wantManifest("os/image/manifests/v2", 200, "rechunked")
	u.stop()
	// What is stored goes into a file while the registry is away, which says what could not be asked for; of what the
	// registry said before that it has none, nothing is missing.
	type gaps struct {
		Missing []struct{ What, Why string }
	}
	var never, asked gaps
	strata(t, &never, "export", p.Clients+"/"+upstreamHost+"/os/image:v2", filepath.Join(t.TempDir(), "v2.tar"))
	if len(never.Missing) == 0 || !strings.HasSuffix(never.Missing[0].What, ".sig") || never.Missing[0].Why == "" {
		t.Errorf("missing: %+v", never.Missing)
	}
	stored := filepath.Join(t.TempDir(), "stored.tar")
	strata(t, &asked, "export", p.Clients+"/"+image, stored)
	if len(asked.Missing) != 0 {
		t.Errorf("missing of what is known: %+v", asked.Missing)
	}
	got = command(t, nil, "skopeo", "--insecure-policy", "inspect", "--format", "{{.Digest}}",
		"oci-archive:"+stored+":"+image)
	if strings.TrimSpace(got) != digest {
		t.Errorf("skopeo reads %s, not %s", got, digest)
	}
	gap := newProxy(t, u, proxyOptions{})
	command(t, nil, program, "import", "--state", filepath.Join(gap.dir, "data"), stored)
	if got := gap.wantManifest("os/image/manifests/v1", 200, "stale").String(); got != digest {
		t.Errorf("imported: %s, not %s", got, digest)
	}
	skopeo(t, gap.Clients+"/"+image, t.TempDir()+":x")
}
