package e2e

import (
	"cmp"
	"os"
	"strings"
	"testing"
)

// Podman on a host whose policy rejects what it does not name, with the files of client-config as they are: what the proxy
// signed comes by the registry's name through the mirror or the prefix, and by the proxy's own, by tag and by digest. What
// another key signed, what nobody signed, and signatures that are not looked for are refused, with words that say so.
// Debian's podman finds the signatures and accepts none, since it was built so; STRATA_TEST_PODMAN may be another one.
func TestPodmanEnforcing(t *testing.T) {
	t.Parallel()
	const wrongKey = "signature verification failed"
	program := cmp.Or(os.Getenv("STRATA_TEST_PODMAN"), "podman")
	store := newPodman(t)
	key := generateKey(t, "proxy")
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{top: "signing: {key_file: " + key + ".key, names: [host]}\n", rule: "sign: unverified"})
	p.named()
	plain := newProxy(t, u, proxyOptions{})
	d := p.wantManifest("os/image/manifests/v1", 200, "rechunked")
	plain.wantManifest("os/image/manifests/v1", 200, "rechunked")

	h := newHost(t)
	pull := func(image, want string) {
		t.Helper()
		args := append(append([]string{}, store.env...), program)
		_, err := h.run("env", append(args, store.args("pull", "--quiet", image)...)...)
		if err != nil && strings.Contains(err.Error(), "sigstore disabled") && (want == "" || want == wrongKey) {
			t.Logf("%s: this podman cannot check signatures", image)
			return
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", image, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", image, err, want)
		}
	}
	for name, flags := range map[string][]string{"mirror": nil, "prefix": {"--no-fallback"}} {
		h.configure(p, key+".pub", flags...)
		for _, image := range []string{upstreamHost + "/os/image", p.image("os/image")} {
			for _, ref := range []string{":v1", "@" + d.String()} {
				t.Log(name, image+ref)
				pull(image+ref, "")
			}
		}
	}
	h.configure(p, generateKey(t, "another")+".pub", "--no-fallback")
	pull(upstreamHost+"/os/image:v1", wrongKey)
	h.configure(p, key+".pub", "--no-fallback")
	h.write("etc/containers/registries.d/50-strata-"+strings.ReplaceAll(p.Clients, ":", "-")+".yaml", "")
	pull(upstreamHost+"/os/image:v1", "signature was required")
	h.configure(plain, key+".pub", "--no-fallback")
	pull(plain.image("os/image:v1"), "signature was required")
	h.write("etc/containers/policy.json", `{"default":[{"type":"reject"}]}`)
	pull(plain.image("os/image:v2"), "rejected by policy")
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
