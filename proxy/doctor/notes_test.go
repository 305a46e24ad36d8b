package doctor

import (
	"strings"
	"testing"
)

// What does not stop a pull and is worth a word is one note.
func TestNotes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant       func(*world)
		image       string
		check, text string
	}{
		"names in a file of another kind": {func(w *world) { w.write("etc/containers/registries.conf.d/my.toml", "x") }, own,
			CheckNames, "registries.conf.d/my.toml is not read: its name does not end in .conf"},
		"places of signatures in a file of another kind": {func(w *world) {
			w.host["etc/containers/registries.d/my.yml"] = w.host[signFile]
			w.write(signFile, "")
		}, tagged, CheckSignature, "registries.d/my.yml is not read: its name does not end in .yaml"},
		"login of a program": {func(w *world) {
			w.login = "a:b"
			w.write("usr/bin/docker-credential-vault", "x")
			w.write("etc/ostree/auth.json", `{"credHelpers":{"proxy.example":"vault"}}`)
		}, tagged, CheckLogin, "comes of docker-credential-vault, by /etc/ostree/auth.json (credHelpers): it was not asked"},
		"logins of programs alone": {func(w *world) {
			w.login = "a:b"
			w.write("usr/bin/docker-credential-vault", "x")
			w.write("etc/containers/registries.conf", `credential-helpers = ["vault"]`)
			w.write("etc/ostree/auth.json", `{"auths":{"proxy.example":{"auth":"YTpi"}}}`)
		}, tagged, CheckLogin, "comes of docker-credential-vault, by registries.conf (credential-helpers): it was not asked"},
		"the distribution's policy": {func(w *world) {
			w.host["usr/share/containers/policy.json"] = w.host[policyFile]
			w.write(policyFile, "")
		}, tagged, CheckPolicy, "/usr/share/containers/policy.json counts, which only newer clients read"},
		"the registry itself is blocked": {func(w *world) { w.replace(confFile, "prefix =", "blocked = true\nprefix =") },
			tagged,
			CheckNames, "registry.example/team/os itself is not asked: blocked = true"},
		"no registry": {func(*world) {}, "os:1", CheckNames,
			`"os:1" names no registry: bootc and skopeo take it for docker.io/library/os:1`},
		"alias": {func(w *world) {
			w.write("etc/containers/registries.conf.d/000-short.conf",
				"[aliases]\n\"team/os\" = \"registry.example/team/os\"\n")
		}, "team/os:1", CheckNames, `podman knows "team/os" as an alias of registry.example/team/os`},
		"a policy that is weaker for the image": {func(w *world) {
			w.write(policyFile, strings.Replace(fleet, `"docker":{`,
				`"docker":{"registry.example/team":[{"type":"insecureAcceptAnything"}],`, 1))
		}, tagged, CheckPolicy, `the entry "registry.example" asks for signatures and does not count for the image`},
	} {
		w := newWorld(t)
		w.start()
		c.plant(w)
		r, err := Examine(t.Context(), c.image, w.o)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, f := range r.Findings {
			if f.State == Note && f.Check == c.check && strings.Contains(f.Text, c.text) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s: found %d times:\n%s", name, found, lines(r))
		}
	}
}
