package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadWithoutFile(t *testing.T) {
	t.Parallel()
	c, warnings, err := Load("", []string{"HOME=/root", "STRATA_CONFIG=/etc/x", "STRATA_ADMIN_URL=http://proxy:5001",
		"STRATA_LISTEN="})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if diff := cmp.Diff(absoluteDefault(t), c); diff != "" {
		t.Errorf("(-default +got)\n%s", diff)
	}
}

// Whoever lists registries wants no others: the usual default counts only while nothing is listed, or where something names
// it.
func TestUsualDefaultUpstreamCloses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		environ []string
		value   string
	}{
		"jobs: 1":                               {value: "ghcr.io"},
		"upstreams:":                            {value: "ghcr.io"},
		"upstreams: {}":                         {value: "ghcr.io"},
		"upstreams: {quay.io: {}}":              {},
		"upstreams: {'ghcr.io:1': {}}":          {},
		"upstreams: {quay.io: {}, ghcr.io: {}}": {value: "ghcr.io"},
		"upstreams: {quay.io: {}}\nrepositories: [{match: 'ghcr.io/ublue-os/*'}]":        {value: "ghcr.io"},
		"upstreams: {quay.io: {}}\nrepositories: [{match: 'quay.io/os'}, {match: '**'}]": {},
		"upstreams: {quay.io: {}}\ndefault_upstream: ghcr.io":                            {value: "ghcr.io"},
		"upstreams: {quay.io: {}}\ndefault_upstream: quay.io":                            {value: "quay.io"},
		"upstreams: {quay.io: {}}\ndefault_upstream: ''":                                 {},
		"default_upstream: ''":      {},
		"upstreams: {quay.io: { }}": {[]string{"STRATA_DEFAULT_UPSTREAM=ghcr.io"}, "ghcr.io"},
		"upstreams: {quay.io: {   }}": {[]string{"STRATA_UPSTREAMS_GHCR_IO_USERNAME=me",
			"STRATA_UPSTREAMS_GHCR_IO_PASSWORD=p"}, "ghcr.io"},
	} {
		c, _, err := parse("c.yml", []byte(text), want.environ)
		if err != nil || c.DefaultUpstream != want.value {
			t.Errorf("%q: %+v, %v, want %q", text, c, err, want.value)
			continue
		}
		if slices.Contains(c.Hosts(), "ghcr.io") != (want.value == "ghcr.io") || slices.Contains(c.Hosts(), "") {
			t.Errorf("%q: hosts %q", text, c.Hosts())
		}
	}
}

func TestLoadFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte("jobs: 3\nstorage: {inmemory: }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := Load(path, nil)
	if err != nil || c.Jobs != 3 || c.Storage.Driver != "inmemory" {
		t.Errorf("got %+v, %v", c, err)
	}
	if want := []string{path + ":2:20: storage.inmemory: forgets every image when the process ends"}; !cmp.Equal(want,
		warnings) {
		t.Errorf("warnings: %q", warnings)
	}
	if _, _, err := Load(path+".missing", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// Each document is wrong; the messages are what an operator reads, all of them.
func TestLoadErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"unknown keys, together": {"lisen: x\nadmin:\n  listen: 127.0.0.1:1\n  tokne: hunter2\nrepositories:\n- match: '**'\n  refrsh: 1s\n", []string{
			"c.yml:1:1: lisen: there is no such key: did you mean listen?",
			"c.yml:4:3: admin.tokne: there is no such key: did you mean token?",
			"c.yml:7:3: repositories[0].refrsh: there is no such key: did you mean refresh?",
		}},
		"wrong types": {"jobs: many\nadmin: [1]\nrepositories: {}\nlisten: {a: 1}\nupstreams:\n  ghcr.io:\n    insecure: 'yes'\n    password: [hunter2]\n", []string{
			"c.yml:1:7: jobs: needs a whole number but has text",
			"c.yml:2:8: admin: needs a mapping of keys to values but has a list",
			"c.yml:3:15: repositories: needs a list but has a mapping",
			"c.yml:4:9: listen: needs one value but has a mapping",
			"c.yml:7:15: upstreams.ghcr.io.insecure: needs true or false but has text",
			"c.yml:8:15: upstreams.ghcr.io.password: needs one value but has a list",
		}},
		"units": {"shutdown_timeout: 30\ncache_bytes: much\nrepositories:\n- match: '**'\n  max_stale: 10\n", []string{
			`c.yml:1:19: shutdown_timeout: "30" is no length of time: write a number with a unit, such as 60s, 15m, 24h or 7d`,
			`c.yml:2:14: cache_bytes: "much" is no size: write a number with a unit, such as 64MiB or 200GB`,
			`c.yml:5:14: repositories[0].max_stale: "10" is no percentage: write a number with a percent sign, such as 10%`,
		}},
		"words": {"log: {format: xml}\nrepositories:\n- match: '**'\n  compression: lz4\n", []string{
			`c.yml:1:15: log.format: "xml" is not known: write text or json`,
			`c.yml:4:16: repositories[0].compression: "lz4" is not known: write zstd or gzip`,
		}},
		"ranges": {"jobs: 0\nrepositories:\n- match: '**'\n  max_layers: 0\n  max_stale: 101%\n  refresh: -1s\n  first_pull_timeout: 0\n  keep_versions: 0\n", []string{
			"c.yml:1:7: jobs: 0 is out of range: write 1 to 256",
			"c.yml:4:15: repositories[0].max_layers: 0 is out of range: write 1 to 1000",
			"c.yml:5:14: repositories[0].max_stale: 101% is out of range: write 0% to 100%",
			"c.yml:8:18: repositories[0].keep_versions: 0 is out of range: write 1 to 1000",
			"c.yml:6:12: repositories[0].refresh: -1s is negative: write a time from now on, such as 60s",
			"c.yml:7:23: repositories[0].first_pull_timeout: is 0, so nothing would ever finish in time: write a time such as 60s",
		}},
		"listeners": {"listen: 0.0.0.0:5001\n", []string{
			`default: admin.listen: "127.0.0.1:5001" is the address of listen too: give it another port, such as 5002`,
		}},
		"no address": {"listen: '5000'\ntls: {cert_file: a}\n", []string{
			`c.yml:1:9: listen: "5000" is no address to listen on: write host:port, such as 127.0.0.1:5000 or :5000`,
			"c.yml:2:18: tls.cert_file: is set without key_file: set both or none",
		}},
		"hosts": {"default_upstream: https://ghcr.io\nupstreams:\n  quay: {}\n", []string{
			`c.yml:1:19: default_upstream: "https://ghcr.io" is no registry host: write a host name with a dot, such as ghcr.io, without scheme or path`,
			`c.yml:3:3: upstreams.quay: "quay" is no registry host: write it as it stands in image names, such as ghcr.io or localhost:5000`,
		}},
		"upstream": {"upstreams:\n  a.io: {url: http://a.io, username: me}\n  b.io: {url: 'https://me:hunter2@b.io', password: hunter2, password_file: x, skip_verify: true, ca_file: y}\n" +
			"  c.io: {auth_file: x, username: me, client_key_file: k, attempts: 0, url: c.io}\n  d.io: {url: https://d.io/v2}\n", []string{
			`c.yml:2:15: upstreams.a.io.url: "http://a.io" is not encrypted, so anyone on the way can replace images and read passwords: write https://, or add insecure: true if that is meant`,
			"c.yml:2:38: upstreams.a.io.username: is set without a password: add password or password_file",
			"c.yml:3:15: upstreams.b.io.url: has a user name in it: use username with password or password_file",
			"c.yml:3:76: upstreams.b.io.password_file: is set together with password: keep one",
			"c.yml:3:92: upstreams.b.io.skip_verify: makes ca_file useless: remove one of them",
			`c.yml:4:76: upstreams.c.io.url: "c.io" starts with neither https:// nor http://`,
			"c.yml:4:21: upstreams.c.io.auth_file: is set together with username or password: keep one",
			"c.yml:4:55: upstreams.c.io.client_key_file: is set without client_cert_file: set both or none",
			"c.yml:4:68: upstreams.c.io.attempts: 0 is out of range: write 1 to 20",
			`c.yml:5:15: upstreams.d.io.url: "https://d.io/v2" has more than scheme and host: a registry answers at /v2/ of its host`,
		}},
		"storage": {"storage: {filesystem: {rootdirectory: x}, s3: {secretkey: hunter2}}\n", []string{
			"c.yml:1:10: storage: needs exactly one storage driver but has 2 (filesystem, s3): keep one",
		}},
		"storage driver": {"storage: {floppy: {}}\n", []string{
			`c.yml:1:19: storage.floppy: "floppy" is no storage driver; there are filesystem, inmemory, s3, s3aws`,
		}},
		"rules": {"repositories:\n- {match: ublue-os/*}\n- {rechunk: never}\n- {match: '**', platforms: [linux, linux/arm64, linux/arm64], family: A b}\n- {match: ghcr.io, platforms: []}\n", []string{
			`c.yml:2:11: repositories[0].match: "ublue-os/*" starts with no registry host, so it would match nothing: write ghcr.io/ublue-os/*`,
			`c.yml:3:3: repositories[1].match: is empty: write a pattern such as ghcr.io/ublue-os/*, or "**" for every repository`,
			`c.yml:4:29: repositories[2].platforms[0]: "linux" is no platform: write OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64`,
			`c.yml:4:49: repositories[2].platforms[2]: "linux/arm64" is there twice: remove one`,
			`c.yml:4:71: repositories[2].family: "A b" is no name: write lower-case letters, digits and . _ - / between them, at most 255`,
			"c.yml:5:31: repositories[3].platforms: is empty: name a platform, leave the key out for the default, or write rechunk: never",
		}},
		"a family half verified": {"repositories:\n- {match: ghcr.io/a, family: os, verify: {keys: [/k.pub]}}\n- {match: ghcr.io/b, family: os}\n" +
			"- {match: ghcr.io/c, family: os, rechunk: never}\n- {match: ghcr.io/d, family: ghcr.io/e/os}\n- {match: ghcr.io/e/*, verify: {keys: [/k.pub]}}\n", []string{
			`c.yml:2:30: repositories[0].family: "os" is that of repositories[1], too, which verifies nothing, and whose layers would lie in images that are verified here: give one of them another family, or verify both`,
			`c.yml:5:30: repositories[3].family: "ghcr.io/e/os" is the family of the repository of that name, too, of which one verifies and the other does not: choose another name, or verify both`,
		}},
		"syntax": {"listen: [\npassword: hunter2\n",
			[]string{"c.yml:1:9: a list in [ ] or a mapping in { } is not closed, or lacks a comma"}},
		"duplicate key": {"jobs: 1\njobs: 2\n", []string{`c.yml:2:1: "jobs" is set twice, here and in line 1: keep one`}},
		"two documents": {"jobs: 1\n---\njobs: 2\n",
			[]string{"c.yml:3:1: a second document starts here: a configuration is one document"}},
		"not a mapping": {"just text\n", []string{"c.yml:1:1: needs a mapping of keys to values but has text"}},
		"unknown alias": {"listen: *nobody\n",
			[]string{`c.yml:1:9: listen: a value that begins with * needs quotes, such as "*"`}},
		"endless alias": {"storage: {s3: &a {x: *a}}\n", []string{"c.yml:1:18: storage.s3" + strings.Repeat(".x", 32) +
			": is nested deeper than 32 levels, which is the limit"}},
		"endless merge": {"admin: &a\n  <<: *a\n", nil},
		"too long":      {strings.Repeat("#", maxFile+1), []string{"c.yml: is longer than the limit of 1048576 bytes"}},
		"nested too deep": {"listen: " + strings.Repeat("[", 5000),
			[]string{"c.yml: has more than 1000 lists or mappings inside one another, which is the limit"}},
		"dashes too deep": {strings.Repeat("- ", 5000),
			[]string{"c.yml: has more than 1000 lists or mappings inside one another, which is the limit"}},
		"an aliases' bomb": {bomb(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := parse("c.yml", []byte(tc.text), nil)
			var all *Error
			if !errors.As(err, &all) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret shows in %q", err)
			}
			if tc.want == nil {
				return
			}
			if diff := cmp.Diff(tc.want, lines(all.Problems)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// bomb returns a small document that aliases make huge.
func bomb() string {
	text := "storage:\n  s3:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := '1'; i <= '9'; i++ {
		below := "*a" + string(i-1)
		text += "    a" + string(i) + ": &a" + string(i) + " [" + strings.Repeat(below+", ", 9) + below + "]\n"
	}
	return text
}

// A thousand mistakes are not a thousand lines.
func TestErrorIsBounded(t *testing.T) {
	t.Parallel()
	_, _, err := parse("c.yml", []byte("a: 1\n"+manyKeys(200)), nil)
	if err == nil || strings.Count(err.Error(), "\n") != maxShown || !strings.HasSuffix(err.Error(), "and 151 more") {
		t.Errorf("got %v", err)
	}
}

func manyKeys(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "k%d: 1\n", i)
	}
	return text.String()
}

func TestLoadDetails(t *testing.T) {
	t.Parallel()
	c, warnings, err := parse("c.yml", []byte(`
listen: ":5000"
admin: {listen: 0.0.0.0:5001, insecure: true}
log: {level: debug, format: json}
cache_bytes: 1GiB
storage:
  s3: {bucket: images, v4auth: true, chunksize: 10485760, secretkey: "0123", nested: {list: [1, two]}}
upstreams:
  ghcr.io: &account {username: me, password: 0123}
  quay.io: {<<: *account, url: "http://127.0.0.1:9/", insecure: true, skip_verify: true, timeout: 5s}
  localhost:5000: {insecure: true}
repositories:
  - &base
    match: ghcr.io/ublue-os/*
    max_layers: 127
    platforms: [linux/arm64/v8]
  - {<<: *base, match: quay.io, max_stale: 2.5%}
  - {match: ghcr.io/ublue-os/*}
  - {match: quay.io/fedora/*}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	wantStorage := Storage{Driver: "s3", Parameters: map[string]any{
		"bucket": "images", "v4auth": true, "chunksize": 10485760, "secretkey": "0123",
		"nested": map[string]any{"list": []any{1, "two"}},
	}}
	ghcr := DefaultUpstreamSettings()
	ghcr.URL, ghcr.Username, ghcr.Password = "https://ghcr.io", "me", NewSecret("0123")
	if diff := cmp.Diff(wantStorage, c.Storage); diff != "" {
		t.Errorf("storage: %s", diff)
	}
	if diff := cmp.Diff(ghcr, c.Upstream("ghcr.io")); diff != "" {
		t.Errorf("ghcr.io: %s", diff)
	}
	if quay := c.Upstream("quay.io"); quay.URL != "http://127.0.0.1:9" || quay.Username != "me" || quay.Attempts != 4 {
		t.Errorf("quay.io: %+v", quay)
	}
	if local := c.Upstream("localhost:5000"); local.URL != "http://localhost:5000" {
		t.Errorf("localhost:5000: %+v", local)
	}
	if hub := c.Upstream("docker.io"); hub.URL != dockerHubURL {
		t.Errorf("docker.io: %+v", hub)
	}
	if r := c.Rule("quay.io/a/b"); r.MaxLayers != 127 || r.MaxStale != 0.025 || r.Platforms[0] != "linux/arm64/v8" {
		t.Errorf("rule: %+v", r)
	}
	if c.CacheBytes != 1<<30 || c.Log.Format != LogJSON || c.Log.Level >= 0 {
		t.Errorf("got %+v", c)
	}
	want := []string{
		`c.yml:3:41: admin.insecure: whoever reaches "0.0.0.0:5001" is an operator: let only operators through to it`,
		`c.yml:10:84: upstreams.quay.io.skip_verify: lets anyone on the way pose as quay.io: trust its certificate with ca_file instead`,
		`c.yml:15:17: repositories[0].max_layers: 127 is more than every client takes: bootc needs to be 1.9 or newer for more than 120`,
		`c.yml:15:17: repositories[1].max_layers: 127 is more than every client takes: bootc needs to be 1.9 or newer for more than 120`,
		`c.yml:18:13: repositories[2].match: "ghcr.io/ublue-os/*" never matches, since repositories[0] ("ghcr.io/ublue-os/*") comes first: move it up or remove it`,
		`c.yml:19:13: repositories[3].match: "quay.io/fedora/*" never matches, since repositories[1] ("quay.io") comes first: move it up or remove it`,
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got)\n%s", diff)
	}
}

func TestWorkDirectory(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":             abs(t, "strata-work"),
		"work_dir: x":  abs(t, "x"),
		"work_dir: /x": "/x",
		"storage: {filesystem: {rootdirectory: /var/lib/strata/data/}}": "/var/lib/strata/strata-work",
		"storage: {inmemory: {}}": filepath.Join(os.TempDir(), "strata-work"),
	} {
		c, _, err := parse("c.yml", []byte(text), nil)
		if err != nil || c.WorkDirectory() != want {
			t.Errorf("%q: got %v, %v; want %s", text, c.WorkDirectory(), err, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("p w\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	user, password, err := Upstream{Username: "me", PasswordFile: path}.Credentials()
	if err != nil || user != "me" || password.Reveal() != "p w" {
		t.Errorf("got %s, %q, %v", user, password.Reveal(), err)
	}
	if _, _, err := (Upstream{Username: "me", PasswordFile: path + ".missing"}).Credentials(); !errors.Is(err,
		os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, maxPasswordFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (Upstream{Username: "me", PasswordFile: path}).Credentials(); err == nil {
		t.Error("a password file without end is read")
	}
}

// What loads is within its bounds, and loading it again gives the same.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile("../../config.example.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add(uncomment(example))
	f.Add([]byte("repositories:\n- &a {match: '**', refresh: 7d}\n- {<<: *a, max_stale: 3%}\n"))
	f.Add([]byte("storage: {s3: &a {x: *a}}\nupstreams: {a.io: {password: |\n  x\n}}"))
	f.Add([]byte("a: !!binary x\n? [b]\n: c\n--- !t\n"))
	f.Add([]byte(bomb()))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, warnings, err := parse("c.yml", data, nil)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a message")
			}
			return
		}
		if c.Jobs < 1 || c.CacheBytes < 0 || c.Storage.Driver == "" || c.WorkDirectory() == "" {
			t.Errorf("out of bounds: %+v", c)
		}
		for _, rule := range c.Repositories {
			if rule.MaxLayers < 1 || rule.MaxStale < 0 || rule.MaxStale > 1 || len(rule.Platforms) == 0 {
				t.Errorf("out of bounds: %+v", rule)
			}
		}
		again, warningsAgain, err := parse("c.yml", data, nil)
		if err != nil || !cmp.Equal(c, again) || !cmp.Equal(warnings, warningsAgain) {
			t.Errorf("loading again gives another result: %v", err)
		}
	})
}

func TestAdminURL(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:5001": "http://127.0.0.1:5001", "0.0.0.0:1": "http://127.0.0.1:1", ":1": "http://127.0.0.1:1",
		"[::]:1": "http://127.0.0.1:1", "[fd00::1]:1": "http://[fd00::1]:1", "localhost:1": "http://localhost:1",
	} {
		if got := (&Config{Admin: Admin{Listen: listen}}).AdminURL(); got != want {
			t.Errorf("%s: got %s, want %s", listen, got, want)
		}
	}
}
