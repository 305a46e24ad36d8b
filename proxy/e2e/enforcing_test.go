package e2e

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"
)

// wrongKey is what podman and skopeo say where a signature was made with another key than those of the policy.
const wrongKey = "signature verification failed"

// enforcing is podman on a host with a policy.
type enforcing struct {
	*host
	store   *podman
	program string
}

// newEnforcing uses STRATA_TEST_PODMAN, or the podman that is installed. Debian 12's finds signatures and accepts none,
// since it was built so.
func newEnforcing(tb testing.TB) enforcing {
	tb.Helper()
	program := cmp.Or(os.Getenv("STRATA_TEST_PODMAN"), "podman")
	need(tb, program)
	return enforcing{newHost(tb), newPodman(tb), program}
}

// pull has podman pull an image; want is what refuses it, "" for nothing.
func (e enforcing) pull(image, want string) {
	e.tb.Helper()
	args := append(append([]string{}, e.store.env...), e.program)
	_, err := e.run("env", append(args, e.store.args("pull", "--quiet", image)...)...)
	if err != nil && strings.Contains(err.Error(), "sigstore disabled") && (want == "" || want == wrongKey) {
		e.tb.Logf("%s: this podman cannot check signatures", image)
		return
	}
	switch {
	case want == "" && err != nil:
		e.tb.Errorf("%s: %v", image, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		e.tb.Errorf("%s: %v, want %q", image, err, want)
	}
}

// Podman on a host whose policy rejects what it does not name, with the files of client-config as they are: what the proxy
// signed comes by the registry's name through the mirror or the prefix, and by the proxy's own, by tag and by digest. What
// another key signed, what nobody signed, and signatures that are not looked for are refused, with words that say so.
func TestPodmanEnforcing(t *testing.T) {
	t.Parallel()
	h := newEnforcing(t)
	key := generateKey(t, "proxy")
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{top: "signing: {key_file: " + key + ".key, names: [host]}\n", rule: "sign: unverified"})
	p.named()
	plain := newProxy(t, u, proxyOptions{})
	d := p.wantManifest("os/image/manifests/v1", 200, "rechunked")
	plain.wantManifest("os/image/manifests/v1", 200, "rechunked")

	for name, flags := range map[string][]string{"mirror": nil, "prefix": {"--no-fallback"}} {
		h.configure(p, key+".pub", flags...)
		for _, image := range []string{upstreamHost + "/os/image", p.image("os/image")} {
			for _, ref := range []string{":v1", "@" + d.String()} {
				t.Log(name, image+ref)
				h.pull(image+ref, "")
			}
		}
	}
	h.configure(p, generateKey(t, "another")+".pub", "--no-fallback")
	h.pull(upstreamHost+"/os/image:v1", wrongKey)
	h.configure(p, key+".pub", "--no-fallback")
	h.write("etc/containers/registries.d/50-strata-"+strings.ReplaceAll(p.Clients, ":", "-")+".yaml", "")
	h.pull(upstreamHost+"/os/image:v1", "signature was required")
	h.configure(plain, key+".pub", "--no-fallback")
	h.pull(plain.image("os/image:v1"), "signature was required")
	h.write("etc/containers/policy.json", `{"default":[{"type":"reject"}]}`)
	h.pull(plain.image("os/image:v2"), "rejected by policy")
}

// The policies that fleets ship, with two keys for rotations: upstream's image, checked by the proxy, is pulled by podman by
// each way to write whose image it has to be, while the proxy signs with either of its keys. A policy that asks for a tag in
// the signature, or for another repository, refuses. Doctor knows what podman does.
func TestPodmanPolicies(t *testing.T) {
	t.Parallel()
	h := newEnforcing(t)
	if v := command(t, nil, h.program, "--version"); strings.Contains(v, " 3.") || strings.Contains(v, " 4.") {
		t.Skipf("%s does not know policies with several keys: set STRATA_TEST_PODMAN", strings.TrimSpace(v))
	}
	upstreams, first, second := newKeyPair(t), newKeyPair(t), newKeyPair(t)
	u := newSeries(t)
	u.cosignTag("os/image", u.digest("os/image:v1"), upstreams)
	p := newProxy(t, u, proxyOptions{rule: verifying(upstreams), top: fmt.Sprintf(
		"signing:\n  key_file: %s\n  password_file: %s\n  names: [host]\n  next: {key_file: %s, password_file: %s}\n",
		first.private, first.passwordFile(), second.private, second.passwordFile())})
	p.named()
	d := p.wantManifest("os/image/manifests/v1", 200, "rechunked")
	tag, digest := ":v1", "@"+d.String()
	logical, own := upstreamHost+"/os/image", p.image("os/image")
	remap := fmt.Sprintf(`{"type":"remapIdentity","prefix":%q,"signedPrefix":%q}`, p.Clients+"/"+upstreamHost, upstreamHost)
	repository := func(r string) string { return fmt.Sprintf(`{"type":"exactRepository","dockerRepository":%q}`, r) }
	const matchRepository, other = `{"type":"matchRepository"}`, "/os/other"
	// Like cosign's, the proxy's signatures name no tag, for which some ways ask.
	const refused = "is not accepted"
	for i, tt := range []struct {
		name, identity, image, want string
	}{
		{"repository", matchRepository, logical + tag, ""},
		{"repository, by digest", matchRepository, logical + digest, ""},
		{"own repository", matchRepository, own + tag, ""},
		{"own repository, by digest", matchRepository, own + digest, ""},
		{"named", repository(logical), logical + tag, ""},
		{"named, by the proxy", repository(logical), own + tag, ""},
		{"named, own name", repository(own), logical + digest, ""},
		{"remapped", remap, own + tag, refused},
		{"remapped, by digest", remap, own + digest, refused},
		{"by default", "", logical + tag, refused},
		{"by default, by digest", "", logical + digest, refused},
		{"another named", repository(upstreamHost + other), logical + tag, refused},
	} {
		key := []keyPair{first, second}[i%2]
		h.configure(p, key.public, "--no-fallback")
		identity := ""
		if tt.identity != "" {
			identity = `,"signedIdentity":` + tt.identity
		}
		h.write("etc/pki/upstream.pub", readFile(t, upstreams.public))
		h.write("etc/pki/proxy.pub", readFile(t, key.public))
		signed := `[{"type":"sigstoreSigned","keyPaths":["/etc/pki/upstream.pub","/etc/pki/proxy.pub"]` + identity + `}]`
		h.write("etc/containers/policy.json",
			fmt.Sprintf(`{"default":[{"type":"reject"}],"transports":{"docker":{%q:%s,%q:%s}}}`,
				upstreamHost+"/os", signed, p.Clients, signed))
		h.pull(tt.image, tt.want)
		said, err := try(t, nil, program, "doctor", "--root", h.root, "--bootc", "1.16.9", tt.image)
		if (err == nil) != (tt.want == "") {
			t.Errorf("%s: doctor says %v\n%s", tt.name, err, said)
		}
	}
}

// configure sets the host up for a proxy that speaks plain HTTP, with a key, anew.
func (h *host) configure(p *proxy, key string, flags ...string) {
	h.tb.Helper()
	for _, dir := range []string{"registries.conf.d", "registries.d"} {
		if err := os.RemoveAll(h.path("etc/containers/" + dir)); err != nil {
			h.tb.Fatal(err)
		}
	}
	h.write("etc/containers/policy.json", `{"default":[{"type":"reject"}]}`)
	args := append([]string{"client-config", "--insecure", "--key", key, "--admit", "--write", h.root}, flags...)
	command(h.tb, nil, program, append(args, p.Clients, upstreamHost)...)
}
