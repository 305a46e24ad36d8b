package registries

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
)

func named(t testing.TB, s string) reference.Named {
	t.Helper()
	n, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		t.Fatal(err)
	}
	return reference.TagNameOnly(n)
}

func files(pairs ...string) fstest.MapFS {
	out := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return out
}

// sources writes where a name leads as text: mirrors, then the place itself; an exclamation mark for insecure.
func sources(t *testing.T, c *Conf, image string) string {
	t.Helper()
	list, skipped, err := c.Sources(named(t, image))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range list {
		text := s.Named.String()
		if s.Insecure {
			text += "!"
		}
		out = append(out, text)
	}
	for _, s := range skipped {
		out = append(out, "-"+s.Location)
	}
	return strings.Join(out, " ")
}

const someDigest = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestSources(t *testing.T) {
	t.Parallel()
	c, err := Parse("x.conf", []byte(`
unqualified-search-registries = ["docker.io"]
[[registry]]
prefix = "ghcr.io/a"
location = "ghcr.io/a/"
[[registry.mirror]]
location = "proxy.example:5000/ghcr.io/a"
insecure = true
[[registry.mirror]]
location = "tags.example/a"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "digests.example/a"
pull-from-mirror = "digest-only"
[[registry]]
prefix = "ghcr.io/a/moved"
location = "quay.io/b/moved"
[[registry]]
prefix = "*.example.com"
[[registry]]
prefix = "quay.io"
location = "quay.io"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m.example"
`))
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"ghcr.io/a/os:1": "proxy.example:5000/ghcr.io/a/os:1! tags.example/a/os:1 ghcr.io/a/os:1 -digests.example/a",
		"ghcr.io/a/os" + someDigest: "proxy.example:5000/ghcr.io/a/os" + someDigest + "! digests.example/a/os" + someDigest +
			" ghcr.io/a/os" + someDigest + " -tags.example/a",
		"ghcr.io/ab/os:1":          "ghcr.io/ab/os:1",
		"ghcr.io/a/moved:1":        "quay.io/b/moved:1",
		"ghcr.io/a/moved/x:1":      "quay.io/b/moved/x:1",
		"reg.example.com/x:1":      "reg.example.com/x:1",
		"quay.io/x/y:1":            "quay.io/x/y:1 -m.example",
		"quay.io/x/y" + someDigest: "m.example/x/y" + someDigest + " quay.io/x/y" + someDigest,
		"os:1":                     "docker.io/library/os:1",
	} {
		if got := sources(t, c, image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
	if len(c.Warnings) > 0 {
		t.Error(c.Warnings)
	}
}

// Drop-ins come in the order of their names, and the last one has a prefix.
func TestRead(t *testing.T) {
	t.Parallel()
	c, err := Read(files(
		ConfFile, "[registries.insecure]\nregistries = [\"old.example\"]\n[registries.block]\nregistries = [\"bad.example\"]\n",
		ConfDir+"/20.conf", "[[registry]]\nlocation = \"a.example\"\nblocked = true\n",
		ConfDir+"/10.conf", "[[registry]]\nlocation = \"a.example\"\n[[registry]]\nlocation = \"a.example\"\n[[registry]]\nlocation=\"b.example\"\nmirrors=1\n",
		ConfDir+"/30.conf.disabled", "x",
	))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/etc/containers/registries.conf is of the first version of the format, [registries.…], which newer clients " +
			"(skopeo 1.22) refuse: write [[registry]]",
		`/etc/containers/registries.conf.d/10.conf: "registry.mirrors" is unknown and has no effect`,
		`/etc/containers/registries.conf.d/10.conf: the prefix "a.example" comes twice, and the second has no effect`,
		`/etc/containers/registries.conf.d/20.conf replaces the entry for "a.example" in /etc/containers/registries.conf.d/10.conf`,
	}
	if diff := cmp.Diff(want, c.Warnings); diff != "" {
		t.Error(diff)
	}
	if r := c.Find(named(t, "a.example/x")); r == nil || !r.Blocked || r.File != ConfDir+"/20.conf" {
		t.Errorf("%+v", r)
	}
	if r := c.Find(named(t, "old.example/x")); r == nil || !r.Insecure {
		t.Errorf("%+v", r)
	}
	if r := c.Find(named(t, "bad.example/x")); r == nil || !r.Blocked {
		t.Errorf("%+v", r)
	}
	if c, err := Read(files()); err != nil || len(c.Registries) > 0 {
		t.Errorf("%v, %v", c, err)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ file, text, want string }{
		"no TOML":      {ConfFile, "[[registry]", "invalid"},
		"no location":  {ConfFile, "[[registry]]\ninsecure = true\n", "neither prefix nor location"},
		"prefix alone": {ConfFile, "[[registry]]\nprefix = \"x.example\"\n", "has no location"},
		"scheme":       {ConfFile, "[[registry]]\nlocation = \"https://x.example\"\n", "has a scheme"},
		"wild path":    {ConfFile, "[[registry]]\nprefix = \"*.x.example/a\"\n", "is no *.DOMAIN"},
		"mirror's word": {ConfFile, "[[registry]]\nlocation = \"x.example\"\npull-from-mirror = \"all\"\n",
			"is for mirrors"},
		"unknown word": {ConfFile, "[[registry]]\nlocation = \"x.example\"\n[[registry.mirror]]\nlocation = \"m\"\npull-from-mirror = \"x\"\n", "is unknown"},
		"two words":    {ConfFile, "[[registry]]\nlocation = \"x.example\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"m\"\npull-from-mirror = \"all\"\n", "exclude each other"},
		"no mirror": {ConfFile, "[[registry]]\nlocation = \"x.example\"\n[[registry.mirror]]\ninsecure = true\n",
			"has no location"},
		"two minds": {ConfFile, "[[registry]]\nprefix = \"a\"\nlocation = \"x.example\"\n[[registry]]\nprefix = \"b\"\nlocation = \"x.example\"\ninsecure = true\n", "comes twice"},
		"both versions": {ConfFile, "unqualified-search-registries = [\"x\"]\n[registries.search]\nregistries = [\"a.example\"]\n",
			"no mixture"},
		"both versions, one of them empty": {ConfFile,
			"short-name-mode = \"enforcing\"\n[registries.block]\nregistries = []\n", "no mixture"},
		"old in drop-ins": {ConfDir + "/x.conf", "[registries.search]\nregistries = [\"a.example\"]\n", "first version"},
		"too large":       {ConfFile, strings.Repeat("#\n", maxFile), "more than"},
		"wrong type":      {ConfFile, "registry = 1", "invalid"},
	} {
		if _, err := Read(files(tt.file, tt.text)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) ||
			!strings.Contains(err.Error(), "/"+tt.file) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	s, err := ReadSignatures(files(
		SignDir+"/default.yaml", "default-docker:\n  sigstore: file:///var/lib/atomic/sigstore\n",
		SignDir+"/a.yaml", "docker:\n  ghcr.io/a:\n    use-sigstore-attachments: true\n  ghcr.io/a/off:\n    use-sigstore-attachments: false\n",
		SignDir+"/b.yaml", "docker:\n  ghcr.io/a/os:\n    lookaside: https://x.example/\n  \"proxy.example:5000\":\n    use-sigstore-attachments: true\n",
		SignDir+"/skipped.yaml", "docker:\n  ghcr.io/a: {}\n", SignDir+"/empty.yaml", "\n", SignDir+"/x.yml", "!",
	), SignDir, "skipped.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"ghcr.io/a/os:1":         "true https://x.example/",
		"ghcr.io/a/off:1":        "false file:///var/lib/atomic/sigstore",
		"ghcr.io/b:1":            "false file:///var/lib/atomic/sigstore",
		"proxy.example:5000/x:1": "true file:///var/lib/atomic/sigstore",
		"proxy.example/x:1":      "false file:///var/lib/atomic/sigstore",
	} {
		on, _ := s.Attachments(named(t, image))
		url, _ := s.Lookaside(named(t, image))
		if got := fmt.Sprint(on, " ", url); got != want {
			t.Errorf("%s: %s", image, got)
		}
	}
	for name, second := range map[string]string{
		"namespace twice": "docker:\n  ghcr.io/a: {}\n", "default twice": "default-docker: {}\n", "no YAML": "docker: [",
		"too large": strings.Repeat("#\n", maxFile),
	} {
		_, err := ReadSignatures(files(SignDir+"/1.yaml", "docker:\n  ghcr.io/a: {}\ndefault-docker: {}\n",
			SignDir+"/2.yaml", second), SignDir)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "/"+SignDir+"/2.yaml") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Clients take YAML 1.1's words for true and false, in quotes or not, and no other text.
func TestFlags(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"true": "true", "yes": "true", `"yes"`: "true", "on": "true", "False": "false", `"no"`: "false", "off": "false",
		`"true"`: "invalid", "1": "invalid", "maybe": "invalid", "[true]": "invalid",
	} {
		s, err := ParseSignatures("x.yaml", []byte("docker:\n  a.example:\n    use-sigstore-attachments: "+text+"\n"))
		got := "invalid"
		if err == nil {
			on, _ := s.Attachments(named(t, "a.example/os:1"))
			got = fmt.Sprint(on)
		}
		if got != want || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

// Root's own registries.conf and registries.d count alone; its drop-ins come behind the system's.
func TestRootsOwnFiles(t *testing.T) {
	t.Parallel()
	host := files(ConfFile, "[[registry]]\nlocation = \"a.example\"\nblocked = true\n",
		rootConfFile, "[[registry]]\nlocation = \"b.example\"\ninsecure = true\n",
		ConfDir+"/z.conf", "[[registry]]\nprefix = \"c.example\"\nlocation = \"system.example\"\n",
		rootConfDir+"/a.conf", "[[registry]]\nprefix = \"c.example\"\nlocation = \"root.example\"\n",
		SignDir+"/x.yaml", "docker:\n  a.example:\n    use-sigstore-attachments: true\n")
	if dir := SignaturesDir(host); dir != SignDir {
		t.Error(dir)
	}
	c, err := Read(host)
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"a.example/x:1": "a.example/x:1", "b.example/x:1": "b.example/x:1!", "c.example/x:1": "root.example/x:1",
	} {
		if got := sources(t, c, image); got != want {
			t.Errorf("%s: %s", image, got)
		}
	}
	if c.Find(named(t, "a.example/x")) != nil || !strings.Contains(c.Warnings[0], "/"+rootConfFile+" replaces") {
		t.Error(c.Warnings)
	}
	host[rootSignDir+"/y.yaml"] = &fstest.MapFile{Data: []byte("docker: {}\n")}
	s, err := ReadSignatures(host, SignaturesDir(host))
	if err != nil || len(s.Docker) != 0 {
		t.Errorf("%v, %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("[[registry]]\nprefix = \"*.x.example\"\n[[registry.mirror]]\nlocation = \"m.example\"\n"),
		"a.x.example/y:1")
	f.Add([]byte("[registries.search]\nregistries = []\n"), "x")
	f.Fuzz(func(t *testing.T, b []byte, image string) {
		c, err := Parse("x.conf", b)
		if err != nil {
			return
		}
		n, err := reference.ParseNormalizedNamed(image)
		if err != nil {
			return
		}
		list, _, err := c.Sources(n)
		if err == nil && len(list) == 0 {
			t.Error("a name leads nowhere, and nobody says so")
		}
	})
}

func FuzzParseSignatures(f *testing.F) {
	f.Add([]byte("docker:\n  ghcr.io/a:\n    use-sigstore-attachments: true\n"), "ghcr.io/a/os:1")
	f.Fuzz(func(t *testing.T, b []byte, image string) {
		s, err := ParseSignatures("x.yaml", b)
		if err != nil {
			return
		}
		if n, err := reference.ParseNormalizedNamed(image); err == nil {
			s.Attachments(n)
			s.Lookaside(n)
		}
	})
}

func Example() {
	c, err := Parse("50-strata.conf", []byte(`
[[registry]]
prefix = "ghcr.io/ublue-os"
location = "ghcr.io/ublue-os"
[[registry.mirror]]
location = "proxy.example/ghcr.io/ublue-os"
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	image, err := reference.ParseNormalizedNamed("ghcr.io/ublue-os/bluefin:stable")
	if err != nil {
		fmt.Println(err)
		return
	}
	sources, _, err := c.Sources(image)
	for _, s := range sources {
		fmt.Println(s.Named, s.Mirror)
	}
	fmt.Println(err)
	// Output:
	// proxy.example/ghcr.io/ublue-os/bluefin:stable true
	// ghcr.io/ublue-os/bluefin:stable false
	// <nil>
}
