package e2e

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/trust/keys"
)

// keyPair are the files of a key, in a form that clients of all ages read.
type keyPair struct {
	keys.Private
	private, public string
}

const keyPassword = "pass phrase of tests"

func newKeyPair(tb testing.TB) keyPair {
	tb.Helper()
	return newKeyPairOf(tb, keys.P256)
}

func newKeyPairOf(tb testing.TB, kind keys.Kind) keyPair {
	tb.Helper()
	k, err := keys.Generate(kind)
	if err != nil {
		tb.Fatal(err)
	}
	file, err := k.Encrypt([]byte(keyPassword))
	if err != nil {
		tb.Fatal(err)
	}
	// Clients before 2023 know cosign's first name for the same contents.
	block, _ := pem.Decode(file)
	block.Type = "ENCRYPTED COSIGN PRIVATE KEY"
	dir := tb.TempDir()
	p := keyPair{k, filepath.Join(dir, "cosign.key"), filepath.Join(dir, "cosign.pub")}
	for path, b := range map[string][]byte{
		p.private: pem.EncodeToMemory(block), p.public: k.Public().PEM(),
		filepath.Join(dir, "password"): []byte(keyPassword),
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return p
}

func (k keyPair) passwordFile() string { return filepath.Join(filepath.Dir(k.private), "password") }

// sign has skopeo sign an image of the upstream under its logical name, which it writes with the tag.
func (u *upstream) sign(image string, by keyPair) {
	u.tb.Helper()
	attachments := filepath.Join(u.tb.TempDir(), "upstream.yaml")
	text := "docker:\n  " + u.host() + ":\n    use-sigstore-attachments: true\n"
	if err := os.WriteFile(attachments, []byte(text), 0o600); err != nil {
		u.tb.Fatal(err)
	}
	at := "docker://" + u.host() + "/" + image
	command(u.tb, nil, signingSkopeo(u.tb), "--insecure-policy", "--registries.d", filepath.Dir(attachments), "copy",
		"--quiet",
		"--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests", "--sign-by-sigstore-private-key",
		by.private,
		"--sign-passphrase-file", by.passwordFile(), "--sign-identity", upstreamHost+"/"+image, at, at)
}

// digest is what a tag of the upstream stands for.
func (u *upstream) digest(image string) digest.Digest {
	u.tb.Helper()
	d, err := remote.Head(u.reference(image))
	if err != nil {
		u.tb.Fatal(err)
	}
	return digest.Digest(d.Digest.String())
}

// strictHost are the files of a host that pulls what is signed and nothing else.
type strictHost struct {
	tb                        testing.TB
	policy, registriesD, conf string
}

// signedBy is a requirement of policies: a signature by one of some keys, for the image's own name.
func signedBy(keys ...string) string {
	return fmt.Sprintf(`[{"type": "sigstoreSigned", "keyPaths": ["%s"], "signedIdentity": {"type": "matchRepository"}}]`,
		strings.Join(keys, `", "`))
}

// newStrictHost makes the files of a host: requirements for each scope, signatures looked for at an address, which is a
// mirror of the upstream.
func newStrictHost(tb testing.TB, address string, scopes map[string]string) *strictHost {
	tb.Helper()
	dir := tb.TempDir()
	h := &strictHost{tb, filepath.Join(dir, "policy.json"), filepath.Join(dir, "registries.d"),
		filepath.Join(dir, "registries.conf")}
	var docker []string
	for scope, requirements := range scopes {
		docker = append(docker, fmt.Sprintf("%q: %s", scope, requirements))
	}
	for path, text := range map[string]string{
		h.policy: `{"default": [{"type": "reject"}], "transports": {"docker": {` + strings.Join(docker, ", ") + `}}}`,
		h.registriesD + "/strata.yaml": fmt.Sprintf("docker:\n  %s:\n    use-sigstore-attachments: true\n  %s:\n    use-sigstore-attachments: true\n",
			address, upstreamHost),
		h.conf: fmt.Sprintf("[[registry]]\nprefix = %[1]q\nlocation = %[1]q\n[[registry.mirror]]\nlocation = %[2]q\ninsecure = true\n",
			upstreamHost, address+"/"+upstreamHost),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return h
}

// skopeo is the program with the flags that make it follow the host's rules.
func (h *strictHost) skopeo() []string {
	h.tb.Helper()
	return []string{signingSkopeo(h.tb), "--policy", h.policy, "--registries.d", h.registriesD, "--registries-conf", h.conf}
}

// pull copies an image to a directory, by the host's rules.
func (h *strictHost) pull(image string) error {
	h.tb.Helper()
	args := append(h.skopeo(), "copy", "--quiet", "--src-tls-verify=false", "docker://"+image, "dir:"+h.tb.TempDir())
	_, err := try(h.tb, nil, args[0], args[1:]...)
	return err
}

// A host whose policy asks for signatures, and refuses what has none, pulls with skopeo and imports as bootc does, through a
// mirror entry by the image's own name and by the proxy's, by tag and by digest, with each of two keys; with another key it
// refuses. An image that upstream did not sign is refused by the proxy, and says so.
func TestHostsThatWantSignatures(t *testing.T) {
	t.Parallel()
	signingSkopeo(t)
	upstreams, first, second, other := newKeyPair(t), newKeyPair(t), newKeyPair(t), newKeyPair(t)
	u := newSeries(t)
	u.sign("os/image:v1", upstreams)
	p := newProxy(t, u, proxyOptions{
		rule: "verify: {keys: [" + upstreams.public + "]}",
		top: fmt.Sprintf("signing:\n  key_file: %s\n  password_file: %s\n  names: [host]\n  next: {key_file: %s, password_file: %s}\n",
			first.private, first.passwordFile(), second.private, second.passwordFile()),
	})
	p.named()
	served := p.wantManifest("os/image/manifests/v1", http.StatusOK, "rechunked")
	own, logical := p.Clients+"/"+upstreamHost+"/os/image", upstreamHost+"/os/image"
	for what, key := range map[string]keyPair{"first": first, "second": second} {
		h := newStrictHost(t, p.Clients, map[string]string{
			upstreamHost: signedBy(upstreams.public, key.public), p.Clients: signedBy(key.public)})
		for _, image := range []string{
			own + ":v1", own + "@" + served.String(), logical + ":v1", logical + "@" + served.String(), p.Clients +
				"/os/image:v1",
		} {
			if err := h.pull(image); err != nil {
				t.Errorf("%s key, %s: %v", what, image, err)
			}
		}
		if what == "second" {
			bootc := newBootc(t)
			bootc.skopeo = h.skopeo()
			bootc.upgrade(logical + ":v1")
		}
	}
	h := newStrictHost(t, p.Clients, map[string]string{upstreamHost: signedBy(other.public),
		p.Clients: signedBy(other.public)})
	for _, image := range []string{own + ":v1", logical + ":v1"} {
		if err := h.pull(image); err == nil || !strings.Contains(err.Error(), "rejected") {
			t.Errorf("another key, %s: %v", image, err)
		}
	}
	skopeo := h.skopeo()
	if _, err := newImageProxy(t, skopeo[0], skopeo[1:]...).exchange("OpenImage",
		[]any{"docker://" + logical + ":v1"}); err == nil ||
		!strings.Contains(err.Error(), "signature verification failed") {
		t.Errorf("another key, opened as bootc does: %v", err)
	}
	h = newStrictHost(t, p.Clients, map[string]string{p.Clients: signedBy(first.public)})
	if err := h.pull(own + ":v2"); err == nil || !strings.Contains(err.Error(), upstreams.Public().ID()) {
		t.Errorf("an image that is not signed: %v", err)
	}
	source := u.digest("os/image:v1")
	h = newStrictHost(t, p.Clients, map[string]string{upstreamHost: signedBy(upstreams.public)})
	if err := h.pull(logical + "@" + source.String()); err != nil {
		t.Errorf("the source by its digest, with upstream's key: %v", err)
	}
}

// named gives the proxy the name that tests reach it by, which is known when it listens, and has it read that.
func (p *proxy) named() {
	p.tb.Helper()
	b, err := os.ReadFile(p.config)
	if err != nil {
		p.tb.Fatal(err)
	}
	text := strings.Replace(string(b), "names: [host]", "names: [\""+p.Clients+"\"]", 1)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		p.tb.Fatal(err)
	}
	command(p.tb, nil, program, "reload", "--admin", "http://"+p.Operators)
}
