package hosts

import (
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/hosts/policy"
	"github.com/strata-oci/strata/proxy/hosts/registries"
	"github.com/strata-oci/strata/proxy/trust/keys"
)

func publicKey(t testing.TB) string {
	t.Helper()
	k, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return string(k.Public().PEM())
}

func content(c *Config, suffix string) string {
	for _, f := range append(c.Files, c.Snippets...) {
		if strings.HasSuffix(f.Path, suffix) {
			return f.Content
		}
	}
	return ""
}

// Whatever the setup, clients can read the files, and names lead to the proxy.
func TestFilesAreRead(t *testing.T) {
	t.Parallel()
	key := publicKey(t)
	for _, name := range []string{"proxy.example", "proxy.example:5000", "10.1.2.3:5000", "[fd00::1]:5000",
		"localhost:5000"} {
		for _, image := range []string{"", "ghcr.io", "ghcr.io/ublue-os", "ghcr.io/ublue-os/bluefin:stable", "docker.io",
			"registry.example:5000/team/os@sha256:" + strings.Repeat("a", 64)} {
			for _, insecure := range []bool{false, true} {
				s := Setup{Name: name, Proxy: Proxy{Keys: []string{key}, Insecure: insecure}, NoFallback: len(image)%2 == 0}
				if image != "" {
					s.Images = []string{image}
				}
				c, err := Make(s)
				if err != nil {
					t.Fatalf("%s, %s: %v", name, image, err)
				}
				conf, err := registries.Parse("x.conf", []byte(content(c, ".conf")))
				if err != nil || len(conf.Warnings) > 0 {
					t.Fatalf("%s, %s: %v, %v", name, image, err, conf.Warnings)
				}
				signatures, err := registries.ParseSignatures("x.yaml", []byte(content(c, ".yaml")))
				if err != nil || signatures.Docker[name].Attachments == nil {
					t.Fatalf("%s, %s: %v: %s", name, image, err, content(c, ".yaml"))
				}
				p, err := policy.Parse([]byte(content(c, "policy.json")))
				if err != nil || p.FindScope(name).Requirements[0].Type != policy.SigstoreSigned {
					t.Fatalf("%s, %s: %v", name, image, err)
				}
			}
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		s    Setup
		want string
	}{
		"a URL":           {Setup{Name: "https://proxy.example"}, "without https://"},
		"a port too high": {Setup{Name: "proxy.example:99999"}, "no name of a proxy"},
		"port 0":          {Setup{Name: "proxy.example:0"}, "no name of a proxy"},
		"an image's port": {Setup{Name: "proxy.example", Images: []string{"quay.io:65536/os"}}, "is no image"},
		"a null policy": {Setup{Name: "proxy.example", Proxy: Proxy{Keys: []string{publicKey(t)}},
			Existing: Existing{Policy: []byte("null")}}, `an object is expected where "null" is`},
		"a null daemon.json": {Setup{Name: "proxy.example", Proxy: Proxy{Insecure: true},
			Existing: Existing{Docker: []byte("null")}}, "an object is expected"},
		"a path":           {Setup{Name: "proxy.example/x"}, "no name of a proxy"},
		"a short name":     {Setup{Name: "p.example", Images: []string{"bluefin"}}, "in full"},
		"no registry":      {Setup{Name: "p.example", Images: []string{"ublue-os/bluefin"}}, "in full"},
		"upper case":       {Setup{Name: "p.example", Images: []string{"ghcr.io/Ublue"}}, "in full"},
		"the proxy itself": {Setup{Name: "p.example", Images: []string{"p.example/ghcr.io/x"}}, "the proxy itself"},
		"a line in a name": {Setup{Name: "p.example", Images: []string{"ghcr.io/x\ny"}}, "in full"},
		"no key":           {Setup{Name: "p.example", Proxy: Proxy{Keys: []string{"x"}}}, "a public one"},
		"a relative key":   {Setup{Name: "p.example", UpstreamKeys: []string{"a.pub"}}, "absolute path"},
		"no authority":     {Setup{Name: "p.example", Proxy: Proxy{CA: "x"}}, "certificates in PEM"},
		"a broken policy": {Setup{Name: "p.example", Proxy: Proxy{Keys: []string{publicKey(t)}},
			Existing: Existing{Policy: []byte("{}")}}, "default"},
		"a broken daemon": {Setup{Name: "p.example", Images: []string{"docker.io"},
			Existing: Existing{Docker: []byte("x")}}, "daemon.json"},
		"too many images":     {Setup{Name: "p.example", Images: make([]string, maxImages+1)}, "more than"},
		"an image of nothing": {Setup{Name: "p.example", Images: []string{""}}, "in full"},
	} {
		_, err := Make(tt.s)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestDocker(t *testing.T) {
	t.Parallel()
	c, err := Make(Setup{Name: "p.example", Proxy: Proxy{Insecure: true}, Images: []string{"docker.io", "ghcr.io"},
		Existing: Existing{Docker: []byte(`{"log-driver":"journald","registry-mirrors":["https://m.example"]}`)}})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(content(c, "daemon.json")), "")
	const want = `{"insecure-registries":["p.example"],"log-driver":"journald","registry-mirrors":["https://m.example","http://p.example"]}`
	if got != want {
		t.Error(got)
	}
}

// A key that is rotated counts beside the one before, in a file of its own.
func TestTwoKeys(t *testing.T) {
	t.Parallel()
	c, err := Make(Setup{Name: "p.example", Proxy: Proxy{Keys: []string{publicKey(t) + publicKey(t)}}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(content(c, "policy.json"), "strata-p.example-2.pub") || content(c, "p.example-2.pub") == "" {
		t.Error(content(c, "policy.json"))
	}
}

// A key that comes twice, from the proxy and by its file, is one.
func TestOneKeyTwice(t *testing.T) {
	t.Parallel()
	key := publicKey(t)
	c, err := Make(Setup{Name: "p.example", Proxy: Proxy{Keys: []string{key, "\n" + key + key}}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(content(c, "policy.json"), "strata-p.example-2.pub") || content(c, "p.example-2.pub") != "" {
		t.Error(content(c, "policy.json"))
	}
}

// That root's own policy replaces the one that is made is noted.
func TestRootsPolicy(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		c, err := Make(Setup{Name: "p.example", Proxy: Proxy{Keys: []string{publicKey(t)}},
			Existing: Existing{Policy: []byte(`{"default":[{"type":"reject"}]}`), RootsPolicy: own}})
		if err != nil || strings.Contains(strings.Join(c.Notes, "\n"),
			"/root/.config/containers/policy.json replaces") != own {
			t.Errorf("%t: %q, %v", own, c.Notes, err)
		}
	}
}

// Each file says what it is made of: of a host's, or of nothing that is known.
func TestAboutPolicy(t *testing.T) {
	t.Parallel()
	key := publicKey(t)
	policyOf := func(e Existing) (about, notes string) {
		c, err := Make(Setup{Name: "p.example", Proxy: Proxy{Keys: []string{key}}, Existing: e})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range c.Files {
			if strings.HasSuffix(f.Path, "/policy.json") {
				about = f.About
			}
		}
		return about, strings.Join(c.Notes, "\n")
	}
	for name, tt := range map[string]struct {
		host        Existing
		about, note string
	}{
		"not read": {Existing{}, "merge the two", "no policy of a host was read"},
		"none":     {Existing{Known: true}, "a host that has none", "the host has no policy.json"},
		"one":      {Existing{Known: true, Policy: []byte(`{"default":[{"type":"reject"}]}`)}, "the host's policy", ""},
	} {
		about, notes := policyOf(tt.host)
		if !strings.Contains(about, tt.about) || !strings.Contains(notes, tt.note) {
			t.Errorf("%s: %q, %q", name, about, notes)
		}
		if has := strings.Contains(about, "the host's policy"); has != (tt.host.Policy != nil) {
			t.Errorf("%s: %q", name, about)
		}
	}
	c, err := Make(Setup{Name: "p.example", Existing: Existing{Known: true}})
	if err != nil || !strings.Contains(strings.Join(c.Notes, "\n"), "containers-common") {
		t.Errorf("without a key and a policy: %q, %v", c.Notes, err)
	}
}

// A command for the host names all that the files were made of: the key above all.
func TestCommand(t *testing.T) {
	t.Parallel()
	key := publicKey(t)
	for want, s := range map[string]Setup{
		"strata client-config --key /etc/pki/containers/strata-p.example-5000.pub --insecure --no-fallback --write / p.example:5000 ghcr.io/x": {
			Name: "p.example:5000", Proxy: Proxy{Keys: []string{key}, Insecure: true}, NoFallback: true,
			Images: []string{"ghcr.io/x"}},
		"strata client-config --key /etc/pki/containers/strata-p.example.pub --registry-ca /etc/containers/certs.d/p.example/ca.crt --write / p.example": {
			Name: "p.example", Proxy: Proxy{Keys: []string{key}, CA: authorityPEM(t)}},
		"strata client-config --key 'my key.pub' --admit --upstream-key /k --write / p.example": {
			Name: "p.example", Options: []string{"--key", "my key.pub"}, Admit: true, UpstreamKeys: []string{"/k"}},
	} {
		c, err := Make(s)
		if err != nil || c.Command != want {
			t.Errorf("%v, %q, want %q", err, c.Command, want)
		}
		if at := strings.Replace(want, "--write /", "--write DIR", 1); !strings.HasSuffix(c.Snippets[0].About, at) {
			t.Errorf("%q, want %q", c.Snippets[0].About, at)
		}
	}
}

// What several files hold is shown once, under all their names.
func TestPrintOnce(t *testing.T) {
	t.Parallel()
	c, err := Make(Setup{Name: "p.example", DNS: true, Images: []string{"ghcr.io/x/os:1", "quay.io"},
		Proxy: Proxy{CA: authorityPEM(t)}})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := c.Print(&text); err != nil {
		t.Fatal(err)
	}
	files, snippets, _ := strings.Cut(text.String(), "# ---- snippet")
	if n := strings.Count(files, "BEGIN CERTIFICATE"); n != 1 {
		t.Errorf("the authority is shown %d times", n)
	}
	if n := strings.Count(snippets, "BEGIN CERTIFICATE"); n != 2 { // in the installer, and on what it installed
		t.Errorf("the snippets have the authority %d times", n)
	}
	for _, f := range c.Files {
		if !strings.Contains(files, f.Path+": "+f.About) {
			t.Errorf("%s is not named", f.Path)
		}
	}
}

// A registry that speaks plain HTTP is asked so while the proxy is down.
func TestPlainUpstream(t *testing.T) {
	t.Parallel()
	conf, err := registries.Parse("x.conf", []byte("[[registry]]\nlocation = \"quay.example\"\ninsecure = true\n"))
	if err != nil {
		t.Fatal(err)
	}
	make := func(s Setup) *Config {
		s.Name, s.Proxy.Plain, s.Existing.Registries = "p.example", []string{"reg.example"}, conf
		c, err := Make(s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := make(Setup{Images: []string{"reg.example:5000/os", "quay.example/os", "ghcr.io/os"}})
	for host, server := range map[string]string{"reg.example:5000": "http://reg.example:5000",
		"quay.example": "http://quay.example", "ghcr.io": "https://ghcr.io"} {
		if got := content(c, "certs.d/"+host+"/hosts.toml"); !strings.HasPrefix(got, "server = \""+server+"\"") {
			t.Errorf("%s: %s", host, got)
		}
	}
	made, err := registries.Parse("x.conf", []byte(content(c, ".conf")))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range made.Registries {
		if want := r.Prefix != "ghcr.io/os"; r.Insecure != want || r.Mirrors[0].Insecure {
			t.Errorf("%s: insecure is %t", r.Prefix, r.Insecure)
		}
	}
	// So it stays in a later call that knows nothing of it, and DNS leads to HTTPS.
	again, err := Make(Setup{Name: "p.example", Images: []string{"a.example"},
		Existing: Existing{Names: []byte(content(c, ".conf"))}})
	if err != nil || strings.Count(content(again, ".conf"), "insecure = true") != 2 {
		t.Errorf("%v: %s", err, content(again, ".conf"))
	}
	dns := make(Setup{Images: []string{"reg.example/os"}, DNS: true})
	if got := content(dns, "certs.d/reg.example/hosts.toml"); !strings.HasPrefix(got, `server = "https://reg.example"`) {
		t.Error(got)
	}
}

func FuzzMake(f *testing.F) {
	f.Add("proxy.example:5000", "ghcr.io/ublue-os/bluefin:stable", []byte(`{"default":[{"type":"reject"}]}`), true)
	key := publicKey(f)
	f.Fuzz(func(t *testing.T, name, image string, host []byte, flag bool) {
		c, err := Make(Setup{Name: name, Images: []string{image}, NoFallback: flag, Admit: flag,
			Proxy: Proxy{Keys: []string{key}, Insecure: flag}, Existing: Existing{Policy: host}})
		if err != nil {
			return
		}
		if _, err := policy.Parse([]byte(content(c, "policy.json"))); err != nil {
			t.Fatal(err)
		}
		if _, err := registries.Parse("x.conf", []byte(content(c, ".conf"))); err != nil {
			t.Fatalf("%v: %s", err, content(c, ".conf"))
		}
		if _, err := registries.ParseSignatures("x.yaml", []byte(content(c, ".yaml"))); err != nil {
			t.Fatalf("%v: %s", err, content(c, ".yaml"))
		}
	})
}
