package hosts

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/strata-oci/strata/proxy/hosts/policy"
	"github.com/strata-oci/strata/proxy/hosts/registries"
)

// after is what a host has when the files of a configuration lie on it.
func after(c *Config) Existing {
	return Existing{Policy: []byte(content(c, "policy.json")), Docker: []byte(content(c, "daemon.json")),
		Names: []byte(content(c, ".conf")), Signatures: []byte(content(c, ".yaml"))}
}

// Whether images are named at once or one after the other, the files are the same; each keeps how it was named.
func TestOneImageAfterTheOther(t *testing.T) {
	t.Parallel()
	key := publicKey(t)
	make := func(e Existing, noFallback bool, images ...string) *Config {
		t.Helper()
		if e.Docker != nil && len(e.Docker) == 0 {
			e.Docker = nil
		}
		c, err := Make(Setup{Name: "proxy.example:5000", Proxy: Proxy{Keys: []string{key}, Insecure: len(images) == 0},
			Images: images, NoFallback: noFallback, Existing: e})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	host := Existing{Policy: []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`)}
	once := make(host, false, "ghcr.io/a", "quay.io/b/os", "localhost:5000")
	turns := make(host, false, "ghcr.io/a")
	turns = make(after(turns), false, "quay.io/b/os:stable")
	turns = make(after(turns), false, "localhost:5000")
	turns = make(after(turns), false, "ghcr.io/a/below:1")
	for _, suffix := range []string{".conf", ".yaml", "policy.json"} {
		if got, want := content(turns, suffix), content(once, suffix); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", suffix, got, want)
		}
	}

	strict := make(after(turns), true, "ghcr.io/a/below", "quay.io/b/os")
	conf, err := registries.Parse("x", []byte(content(strict, ".conf")))
	if err != nil {
		t.Fatal(err)
	}
	fallback := map[string]bool{}
	for _, r := range conf.Registries {
		fallback[r.Prefix] = len(r.Mirrors) > 0
	}
	want := map[string]bool{"ghcr.io/a": true, "ghcr.io/a/below": false, "quay.io/b/os": false, "localhost:5000": true}
	for prefix, falls := range want {
		if got, ok := fallback[prefix]; !ok || got != falls || len(fallback) != len(want) {
			t.Errorf("%s: %t, %t of %v", prefix, got, ok, fallback)
		}
	}
	all := make(after(strict), true, "ghcr.io")
	if got := content(all, ".conf"); strings.Contains(got, "ghcr.io/a") || !strings.Contains(got, "quay.io/b/os") {
		t.Errorf("the whole host: %s", got)
	}
}

// A key of upstream's that is named for one image does not count for those that were there before.
func TestKeysStayWithTheirImages(t *testing.T) {
	t.Parallel()
	key := publicKey(t)
	first, err := Make(Setup{Name: "p.example", Proxy: Proxy{Keys: []string{key}}, Images: []string{"ghcr.io/a"},
		UpstreamKeys: []string{"/k/a.pub"}, Existing: Existing{Policy: []byte(`{"default":[{"type":"reject"}]}`)},
		Admit: true})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Make(Setup{Name: "p.example", Proxy: Proxy{Keys: []string{key}}, Images: []string{"ghcr.io/b"},
		UpstreamKeys: []string{"/k/b.pub"}, Existing: after(first), Admit: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse([]byte(content(second, "policy.json")))
	if err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[string]string{"ghcr.io/a": "/k/a.pub", "ghcr.io/b": "/k/b.pub"} {
		got := strings.Join(p.FindScope(scope).Requirements[0].KeyPaths, " ")
		if got != want+" /etc/pki/containers/strata-p.example.pub" {
			t.Errorf("%s: %s", scope, got)
		}
	}
}

// What others wrote into the files that are made anew is not dropped in silence, and a damaged one is no empty one.
func TestForeignEntries(t *testing.T) {
	t.Parallel()
	s := Setup{Name: "p.example", Proxy: Proxy{Keys: []string{publicKey(t)}}, Images: []string{"ghcr.io/a"}}
	s.Existing.Names = []byte("[[registry]]\nprefix = \"ghcr.io/b\"\nlocation = \"other.example/b\"\n")
	s.Existing.Signatures = []byte("docker:\n  own.example:\n    use-sigstore-attachments: true\n  x.example:\n    lookaside: https://x\n")
	c, err := Make(s)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(c.Notes, "\n")
	if !strings.Contains(notes, `the entry for "ghcr.io/b"`) || !strings.Contains(notes, `the entry for "x.example"`) {
		t.Error(notes)
	}
	if yaml := content(c, ".yaml"); !strings.Contains(yaml, "own.example") || strings.Contains(yaml, "x.example") {
		t.Error(yaml)
	}
	for name, e := range map[string]Existing{"conf": {Names: []byte("[[registry]")},
		"yaml": {Signatures: []byte("docker: [")}} {
		s.Existing = e
		if _, err := Make(s); err == nil || !strings.Contains(err.Error(), "mend or remove it") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a host's other files block is not unblocked, and who counts where two files speak of a name is told.
func TestOtherFiles(t *testing.T) {
	t.Parallel()
	const (
		main   = registries.ConfFile
		early  = registries.ConfDir + "/00-site.conf"
		late   = registries.ConfDir + "/99-site.conf"
		closed = "\nblocked = true\n"
	)
	for name, tt := range map[string]struct{ file, text, fails, note string }{
		"nothing":               {main, "unqualified-search-registries = [\"docker.io\"]\n", "", ""},
		"a block of it":         {early, "[[registry]]\nlocation = \"ghcr.io/a\"" + closed, `blocks "ghcr.io/a"`, ""},
		"a wider block":         {main, "[[registry]]\nlocation = \"ghcr.io\"" + closed, `blocks "ghcr.io"`, ""},
		"a block by a wildcard": {late, "[[registry]]\nprefix = \"*.io\"" + closed, `blocks "*.io"`, ""},
		"a block of its place":  {late, "[[registry]]\nprefix = \"ghcr.io\"\nlocation = \"x.example/m\"\n[[registry]]\nlocation = \"x.example\"" + closed, `blocks "x.example"`, ""},
		"a block with a mirror": {early, "[[registry]]\nlocation = \"ghcr.io/a\"" + closed +
			"[[registry.mirror]]\nlocation = \"m.example\"\n", `blocks "ghcr.io/a"`, ""},
		"the proxy is blocked": {main, "[[registry]]\nlocation = \"p.example\"" + closed, "which is the proxy", ""},
		"what it leads to is": {main, "[[registry]]\nlocation = \"p.example/ghcr.io\"" + closed,
			`blocks "p.example/ghcr.io"`, ""},
		"a block of another": {early, "[[registry]]\nlocation = \"ghcr.io/ab\"" + closed, "", ""},
		"a block of a part":  {early, "[[registry]]\nlocation = \"ghcr.io/a/secret\"" + closed, "", ""},
		"a mirror": {early,
			"[[registry]]\nlocation = \"ghcr.io/a\"\n[[registry.mirror]]\nlocation = \"m.example\"\n", "",
			"(mirror m.example), which does not count"},
		"another place": {main, "[[registry]]\nprefix = \"ghcr.io\"\nlocation = \"corp.example\"\n", "",
			"(location corp.example), which does not count for ghcr.io/a"},
		"a later file": {late, "[[registry]]\nlocation = \"ghcr.io/a\"\n", "",
			"counts in place of that in /etc/containers/registries.conf.d/50-strata-p.example.conf"},
		"a nearer entry": {early, "[[registry]]\nlocation = \"ghcr.io/a/os\"\n", "",
			`"ghcr.io/a/os", which is nearer`},
		"an entry with no words": {main, "[[registry]]\nlocation = \"ghcr.io\"\n", "", ""},
	} {
		conf, err := registries.Read(fstest.MapFS{tt.file: {Data: []byte(tt.text)}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := Setup{Name: "p.example", Proxy: Proxy{Keys: []string{publicKey(t)}}, Images: []string{"ghcr.io/a"},
			Existing: Existing{Registries: conf}}
		c, err := Make(s)
		if (err != nil) != (tt.fails != "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err != nil {
			continue
		}
		notes := strings.Join(c.Notes, "\n")
		if told := strings.Contains(notes, "has an entry for"); told != (tt.note != "") ||
			!strings.Contains(notes, tt.note) {
			t.Errorf("%s: %s", name, notes)
		}
	}
}

// A signature is asked for by a name only if the proxy signs for it, as far as that is known.
func TestNamesThatAreSignedFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		signed []string
		want   string
	}{
		"unknown": {nil, policy.SigstoreSigned}, "for it": {[]string{"x", "p.example"}, policy.SigstoreSigned},
		"for another": {[]string{"x"}, policy.AcceptAnything}, "for none": {[]string{}, policy.AcceptAnything},
	} {
		c, err := Make(Setup{Name: "p.example", Proxy: Proxy{Keys: []string{publicKey(t)}, Signed: tt.signed},
			Existing: Existing{Policy: []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`)}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse([]byte(content(c, "policy.json")))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.FindScope("p.example").Requirements[0].Type; got != tt.want {
			t.Errorf("%s: %s", name, got)
		}
		told := strings.Contains(strings.Join(c.Notes, "\n"), "add p.example to signing.names")
		if told != (tt.want == policy.AcceptAnything) {
			t.Errorf("%s: %s", name, c.Notes)
		}
	}
}

// Of a registry with a port the proxy signs for the name without it: that is told, and no signature is asked for that
// cannot be there.
func TestRegistryWithPort(t *testing.T) {
	t.Parallel()
	for _, noFallback := range []bool{false, true} {
		c, err := Make(Setup{Name: "p.example", Images: []string{"r.example:5000/os"}, NoFallback: noFallback,
			Proxy:    Proxy{Keys: []string{publicKey(t)}},
			Existing: Existing{Policy: []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`)}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse([]byte(content(c, "policy.json")))
		if err != nil || p.FindScope("r.example:5000/os").Requirements[0].Type != policy.AcceptAnything {
			t.Errorf("%v: %s", err, content(c, "policy.json"))
		}
		if notes := strings.Join(c.Notes, "\n"); !strings.Contains(notes, `"dockerRepository": "r.example/REPOSITORY"`) {
			t.Error(notes)
		}
	}
}

// Nothing but the certificates of an authority's file gets anywhere, least of all into a script.
func TestAuthorityIsWrittenAnew(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, public, private)
	if err != nil {
		t.Fatal(err)
	}
	clean := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	dirty := "STRATA\nrm -rf /\n" + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der,
		Headers: map[string]string{"x": "$(evil)"}}))
	c, err := Make(Setup{Name: "p.example", Images: []string{"ghcr.io/a/os:1"}, Proxy: Proxy{CA: dirty}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(c.Files, c.Snippets...) {
		if strings.Contains(f.Content, "rm -rf") || strings.Contains(f.Content, "evil") {
			t.Errorf("%s: %s", f.Path, f.Content)
		}
		if strings.HasSuffix(f.Path, "ca.crt") && f.Content != clean {
			t.Errorf("%s: %s", f.Path, f.Content)
		}
	}
	if end := ending("a\nSTRATA\n"); end != "STRATA_" {
		t.Error(end)
	}
}

func FuzzFilesOfBefore(f *testing.F) {
	f.Add([]byte("[[registry]]\nprefix = \"ghcr.io/b\"\nlocation = \"p.example/ghcr.io/b\"\n"),
		[]byte("docker: {p.example: {use-sigstore-attachments: true}}"))
	key := publicKey(f)
	f.Fuzz(func(t *testing.T, names, signatures []byte) {
		c, err := Make(Setup{Name: "p.example", Images: []string{"quay.io/x"}, Proxy: Proxy{Keys: []string{key}},
			Existing: Existing{Names: names, Signatures: signatures}})
		if err != nil {
			return
		}
		if _, err := registries.Parse("x.conf", []byte(content(c, ".conf"))); err != nil {
			t.Fatalf("%v: %s", err, content(c, ".conf"))
		}
		if _, err := registries.ParseSignatures("x.yaml", []byte(content(c, ".yaml"))); err != nil {
			t.Fatalf("%v: %s", err, content(c, ".yaml"))
		}
	})
}
