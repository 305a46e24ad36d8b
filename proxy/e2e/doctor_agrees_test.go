package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Doctor and skopeo agree on what stops a pull and what does not, on a host with the files of client-config and one change.
func TestDoctorAgrees(t *testing.T) {
	t.Parallel()
	skopeo := signingSkopeo(t)
	key := generateKey(t, "proxy")
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{top: "signing: {key_file: " + key + ".key, names: [host]}\n", rule: "sign: unverified"})
	p.named()
	p.wantManifest("os/image/manifests/v1", 200, "rechunked")
	const conf, auth = "etc/containers/registries.conf", "root/.config/containers/auth.json"
	names := "etc/containers/registries.conf.d/50-strata-" + strings.ReplaceAll(p.Clients, ":", "-") + ".conf"
	replace := func(file, old, with string) func(h *host) {
		return func(h *host) {
			text := readFile(h.tb, h.path(file))
			if !strings.Contains(text, old) {
				h.tb.Fatalf("%s has no %q:\n%s", file, old, text)
			}
			h.write(file, strings.ReplaceAll(text, old, with))
		}
	}
	write := func(file, text string) func(h *host) { return func(h *host) { h.write(file, text) } }
	for name, tt := range map[string]struct {
		plant func(h *host)
		works bool
	}{
		"nothing":             {func(*host) {}, true},
		"mode of short names": {write(conf, "short-name-mode = \"foo\"\n"), false},
		"alias with a tag":    {write(conf+".d/a.conf", "[aliases]\n\"a\" = \"B/C:t\"\n"), false},
		"alias of a registry": {write(conf+".d/a.conf", "[aliases]\n\"a.example/b\" = \"c.example/d\"\n"), false},
		"empty alias":         {write(conf+".d/a.conf", "[aliases]\n\"a\" = \"\"\n"), true},
		"missing helper":      {write(conf, "credential-helpers = [\"nonesuch\"]\n"), false},
		"missing helper beside files": {write(conf, "credential-helpers = [\"nonesuch\", \"containers-auth.json\"]\n"),
			false},
		"missing helper for the proxy": {write(auth, fmt.Sprintf(`{"credHelpers":{%q:"nonesuch"}}`, p.Clients)), false},
		"missing helper of docker's": {write("root/.docker/config.json",
			fmt.Sprintf(`{"credHelpers":{%q:"nonesuch"}}`, p.Clients)), false},
		"missing helper for another": {write(auth, `{"credHelpers":{"other.example":"nonesuch"}}`), true},
		"logins that are none":       {write(auth, `{"auths":`), false},
		"garbage for an authority":   {write("etc/containers/certs.d/"+p.Clients+"/a.crt", "garbage"), true},
		"certificate without a key":  {write("etc/containers/certs.d/"+p.Clients+"/a.cert", "garbage"), false},
		"key without a certificate":  {write("etc/containers/certs.d/"+p.Clients+"/a.key", "garbage"), false},
		"garbage for places":         {write("etc/containers/registries.d/x.yaml", "docker: ["), false},
		"places twice": {write("etc/containers/registries.d/x.yaml",
			"docker: {\""+p.Clients+"\": {use-sigstore-attachments: true}}\n"), false},
		"places in a file of another": {write("etc/containers/registries.d/x.yml", "docker: ["), true},
		"unknown word of a policy":    {replace("etc/containers/policy.json", `"keyPath"`, `"keyFile"`), false},
		"key by a relative path":      {replace("etc/containers/policy.json", `"/etc/pki`, `"etc/pki`), false},
		"name is blocked":             {replace(names, "prefix =", "blocked = true\nprefix ="), true},
		"proxy is blocked": {write(conf+".d/zz.conf",
			fmt.Sprintf("[[registry]]\nlocation = %q\nblocked = true\n", p.Clients)), false},
		"location with a scheme":         {replace(names, `location = "`, `location = "http://`), false},
		"secure":                         {replace(names, "insecure = true", "insecure = false"), false},
		"unknown setting":                {replace(names, "prefix =", "unknown = 1\nprefix ="), true},
		"names in a file of another end": {write(conf+".d/zz.toml", "[["), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.configure(p, key+".pub", "--no-fallback")
			tt.plant(h)
			h.both(skopeo, upstreamHost+"/os/image:v1", tt.works)
		})
	}
}
