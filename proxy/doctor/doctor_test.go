package doctor

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/trust/keys"
)

func staticLayer(b []byte) v1.Layer { return static.NewLayer(b, types.OCILayer) }

// A host with the files of client-config is well: by tag and digest, through the mirror and by the proxy's own name.
func TestGoodHost(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*world){
		"TLS":            func(*world) {},
		"plain":          func(w *world) { w.plain = true },
		"index":          func(w *world) { w.index = true },
		"one claim each": func(w *world) { w.claims = []string{proxyName + "/" + logical, logical} },
		"with a login": func(w *world) {
			w.login = "host:secret"
			w.write("etc/ostree/auth.json", `{"auths":{"proxy.example":{"auth":"aG9zdDpzZWNyZXQ="}}}`)
		},
		"tokens of another host": func(w *world) { w.tokens = true },
		"tokens, and a certificate for the proxy alone": func(w *world) {
			w.tokens, w.clientCerts = true, true
			w.clientCertificate("etc/containers/certs.d/" + proxyName + "/client")
		},
		"a login as old docker wrote it": func(w *world) {
			w.login = "host:secret"
			w.write("root/.docker/config.json", `{"auths":{"https://proxy.example/v1/":{"auth":"aG9zdDpzZWNyZXQ="}}}`)
		},
		"a login in the image": func(w *world) {
			w.login = "host:secret"
			w.write("usr/lib/ostree/auth.json", `{"auths":{"proxy.example":{"auth":"aG9zdDpzZWNyZXQ="}}}`)
		},
		"with the host's own bundle": func(w *world) { w.write("etc/ssl/certs/ca-certificates.crt", "none") },
		"a damaged authority that nobody needs": func(w *world) {
			w.plain = true
			w.write("etc/containers/certs.d/"+proxyName+"/a.crt", "garbage")
		},
		"old bootc": func(w *world) { w.o.Bootc = "1.1.3" },
		"no bootc":  func(w *world) { w.labels["ostree.final-diffid"], w.o.Bootc = "sha256:x", "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			spoil(w)
			w.start()
			for _, image := range []string{tagged, own} {
				r, err := Examine(t.Context(), image, w.o)
				if err != nil || !r.Works() {
					t.Fatalf("%v\n%s", err, lines(r))
				}
				for _, f := range r.Findings {
					if f.State != Fine && !(w.plain && f.Check == CheckTLS) || f.Fix != "" {
						t.Errorf("%s: %+v", image, f)
					}
				}
			}
		})
	}
}

func lines(r *Report) string {
	if r == nil {
		return ""
	}
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(string(f.State) + " " + f.Check + " " + f.Text + " → " + f.Fix + "\n")
	}
	return b.String()
}

// mistake is one that is planted: before the proxy starts, or in the host's files afterwards.
type mistake struct {
	before, after func(*world)
	image         string // tagged by default
	check         string
	text, fix     string
}

func mistakes() map[string]mistake {
	return map[string]mistake{
		"name does not resolve": {after: func(w *world) { w.replace(confFile, `"proxy.example/`, `"proxi.example/`) },
			check: CheckReach, text: "proxi.example does not resolve", fix: "DNS"},
		"nobody listens": {after: func(w *world) { w.replace(confFile, `"proxy.example/`, `"proxy.example:5000/`) },
			check: CheckReach, text: "nobody answers at proxy.example:5000: connection refused", fix: "start the proxy"},
		"authority is unknown": {after: func(w *world) {
			w.write(caFile, "")
			w.write("etc/docker/certs.d/proxy.example/ca.crt", "")
		},
			check: CheckTLS, text: "authority of the certificate is not known",
			fix: "/etc/containers/certs.d/proxy.example/ca.crt"},
		"authority is damaged": {after: func(w *world) { w.write(caFile, "x") }, check: CheckTLS,
			text: "no certificate in PEM"},
		"certificate of another name": {before: func(w *world) { w.certNames = []string{"other.example"} },
			check: CheckTLS, text: "the certificate is for other.example", fix: "use one of these names"},
		"certificate expired": {before: func(w *world) {
			w.from, w.until = time.Now().Add(-48*time.Hour),
				time.Now().Add(-24*time.Hour)
		},
			check: CheckTLS, text: "the certificate expired at", fix: "tls.cert_file"},
		"plain HTTP without insecure": {before: func(w *world) { w.plain = true },
			after: func(w *world) { w.replace(confFile, "insecure = true\n", "") },
			check: CheckTLS, text: "speaks plain HTTP", fix: "insecure = true to the [[registry.mirror]]"},
		"plain HTTP by name": {before: func(w *world) { w.plain = true }, image: own,
			after: func(w *world) { w.write(confFile, "") }, check: CheckTLS, text: "speaks plain HTTP",
			fix: "insecure = true"},
		"certificate is of tomorrow": {before: func(w *world) { w.from = time.Now().Add(24 * time.Hour) },
			check: CheckTLS, text: "is not valid before", fix: "set the clock"},
		"clock is years behind": {before: func(w *world) {
			w.o.Now = func() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }
		}, check: CheckTLS, text: "is not valid before", fix: "set the clock"},
		"a certificate is asked for": {before: func(w *world) { w.clientCerts = true },
			check: CheckTLS, text: "refuses this client", fix: "client.cert and client.key"},
		"a certificate is asked for by TLS 1.2": {before: func(w *world) {
			w.clientCerts, w.maxTLS = true,
				tls.VersionTLS12
		},
			check: CheckTLS, text: "refuses this client", fix: "client.cert and client.key"},
		"a certificate without a key": {after: func(w *world) {
			w.write("etc/containers/certs.d/"+proxyName+"/client.cert", "x")
		}, check: CheckTLS, text: "has no key beside it"},
		"a key without a certificate": {after: func(w *world) {
			w.write("etc/containers/certs.d/"+proxyName+"/client.key", "x")
		}, check: CheckTLS, text: "has no certificate (.cert) beside it"},
		"clock is slow": {before: func(w *world) { w.date = time.Now().Add(20 * time.Minute) },
			check: CheckClock, text: "differs from that of proxy.example by -", fix: "timedatectl"},
		"no login": {before: func(w *world) { w.login = "a:b" },
			check: CheckLogin, text: "wants a login", fix: "podman login --authfile /etc/ostree/auth.json proxy.example"},
		"a program for logins is missing": {before: func(w *world) { w.login = "a:b" },
			after: func(w *world) { w.write("etc/ostree/auth.json", `{"credHelpers":{"proxy.example":"vault"}}`) },
			check: CheckLogin, text: `leaves logins to "docker-credential-vault", and the host has no such program`},
		"logins come of a program that is missing": {before: func(w *world) { w.login = "a:b" },
			after: func(w *world) {
				w.write("etc/containers/registries.conf", `credential-helpers = ["vault", "containers-auth.json"]`)
				w.write("etc/ostree/auth.json", `{"auths":{"proxy.example":{"auth":"YTpi"}}}`)
			}, check: CheckLogin, text: `registries.conf (credential-helpers) leaves logins to "docker-credential-vault"`},
		"key by a path that is not absolute": {after: func(w *world) {
			w.replace(policyFile, `"/etc/pki/containers/fleet.pub"`, `"etc/pki/containers/fleet.pub"`)
		}, check: CheckSignature, text: "is not absolute"},
		"login of another host": {before: func(w *world) { w.login = "a:b" },
			after: func(w *world) { w.write("etc/ostree/auth.json", `{"auths":{"registry.example":{"auth":"YTpi"}}}`) },
			check: CheckLogin, text: "and this host has none"},
		"wrong login": {before: func(w *world) { w.login = "a:b" },
			after: func(w *world) { w.write("etc/ostree/auth.json", `{"auths":{"proxy.example":{"auth":"YTpj"}}}`) },
			check: CheckLogin, text: "refuses the login of /etc/ostree/auth.json", fix: "access.rules"},
		"damaged logins": {after: func(w *world) { w.write("etc/ostree/auth.json", `{"auths": secret`) },
			check: CheckLogin, text: "/etc/ostree/auth.json cannot be read"},
		"login that may not": {before: func(w *world) { w.refuses = `403 {"errors":[{"code":"DENIED","message":"no"}]}` },
			after: func(w *world) { w.write("etc/ostree/auth.json", `{"auths":{"proxy.example":{"auth":"YTpj"}}}`) },
			check: CheckLogin, text: "does not let whom it knows by /etc/ostree/auth.json have", fix: "access.rules"},
		"nobody may": {before: func(w *world) { w.refuses = `403 {"errors":[{"code":"DENIED","message":"no"}]}` },
			check: CheckLogin, text: "does not let in who has no login", fix: "access.rules"},
		"refused by verify": {before: func(w *world) {
			w.refuses = `403 {"errors":[{"code":"DENIED","message":"the image is refused: no key of a.pub","detail":{"denied_by":"verify"}}]}`
		}, check: CheckSignature, text: "no key of a.pub", fix: "put the key that it is signed with into verify"},
		"refused by the upstream": {before: func(w *world) {
			w.refuses = `403 {"errors":[{"code":"DENIED","message":"r.example denies access","detail":{"denied_by":"upstream"}}]}`
		}, check: CheckManifest, text: "r.example denies access", fix: "username and password"},
		"a detail of another kind": {before: func(w *world) {
			w.refuses = `403 {"errors":[{"code":"DENIED","message":"no","detail":["verify"]}]}`
		}, check: CheckLogin, text: "does not let in"},
		"too many requests": {before: func(w *world) { w.refuses = "429 {}" }, check: CheckManifest,
			text: "too many requests", fix: "wait"},
		"the proxy fails": {before: func(w *world) { w.refuses = "503 {}" }, check: CheckManifest, text: "answers 503",
			fix: "the proxy's log"},
		"tokens for others' logins": {before: func(w *world) { w.tokens = true },
			after: func(w *world) { w.write("etc/ssl/certs/ca-certificates.crt", "") },
			check: CheckManifest, text: "gives no answer"},
		"no such tag": {image: logical + ":2", check: CheckManifest, text: "does not have registry.example/team/os:2"},
		"not through a proxy": {before: func(w *world) { w.strata = false },
			check: CheckManifest, text: "is no Strata", fix: "client-config"},
		"no policy": {after: func(w *world) { w.write(policyFile, "") }, check: CheckPolicy,
			text: "there is no /etc/containers/policy.json, and clients refuse every image without",
			fix:  "strata client-config --key PROXY.pub --write / proxy.example registry.example/team/os"},
		"no policy, by the proxy's own name": {after: func(w *world) { w.write(policyFile, "") }, image: own,
			check: CheckPolicy, text: "there is no /etc", fix: "--key PROXY.pub --write / proxy.example"},
		"no policy below a root": {after: func(w *world) { w.write(policyFile, ""); w.o.Dir = "host" }, check: CheckPolicy,
			text: "there is no /etc", fix: "--write host proxy.example"},
		"broken policy": {after: func(w *world) { w.write(policyFile, `{"default": []}`) }, check: CheckPolicy,
			text: "list of requirements is empty"},
		"policy of root's": {after: func(w *world) { w.write(userPolicy, `{"default":[{"type":"reject"}]}`) },
			check: CheckPolicy, text: `"default" applies and rejects`},
		"a publisher without a name": {after: func(w *world) {
			w.write(policyFile, `{"default":[{"type":"sigstoreSigned","fulcio":{"caPath":"/c"},"rekorPublicKeyPath":"/r"}]}`)
		}, check: CheckPolicy, text: `"oidcIssuer" and "subjectEmail" are needed`},
		"policy rejects the tag by name": {after: func(w *world) {
			w.write(policyFile, `{"default":[{"type":"insecureAcceptAnything"}],"transports":{"docker":{"`+tagged+`":[{"type":"reject"}]}}}`)
		}, check: CheckPolicy, text: "rejects the image", fix: "take that entry out of /" + policyFile},
		"policy rejects": {after: func(w *world) { w.write(policyFile, `{"default":[{"type":"reject"}]}`) },
			check: CheckPolicy, text: `the policy's "default" applies and rejects`, fix: "client-config"},
		"policy wants GPG": {after: func(w *world) {
			w.write(policyFile, `{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]}`)
		}, check: CheckPolicy, text: "asks for a GPG signature", fix: "rechunk: never"},
		"key is missing": {after: func(w *world) { w.write(pubFile, "") },
			check: CheckSignature, text: "the key /etc/pki/containers/strata-proxy.example.pub: open /etc/pki/",
			fix: "put the key there (strata client-config --key PROXY.pub"},
		"another key is missing": {after: func(w *world) { w.write("etc/pki/containers/fleet.pub", "") },
			check: CheckSignature, text: "the key /etc/pki/containers/fleet.pub"},
		"key is private": {after: func(w *world) {
			w.write(pubFile,
				"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
		},
			check: CheckSignature, text: "not a public key"},
		"policy without the proxy's key": {after: func(w *world) { w.write(policyFile, fleet) },
			check: CheckSignature, text: "made with another key than /etc/pki/containers/fleet.pub",
			fix: "add the proxy's public key"},
		"signed with another key": {after: func(w *world) {
			k, err := keys.Generate(keys.P256)
			if err != nil {
				w.t.Fatal(err)
			}
			w.write(pubFile, string(k.Public().PEM()))
		}, check: CheckSignature, text: "made with another key"},
		"not signed": {before: func(w *world) { w.unsigned = true }, check: CheckSignature, text: "has no signature",
			fix: "signing.key_file"},
		"signed for another image": {before: func(w *world) { w.signFor = digest.FromString("another") },
			check: CheckSignature, text: "it is for another image"},
		"not signed for the logical name": {before: func(w *world) { w.claims = w.claims[1:] },
			check: CheckSignature, text: "which matchRepository does not accept for registry.example/team/os:1",
			fix: "signing.names"},
		"not signed for the own name": {before: func(w *world) { w.claims = w.claims[:1] }, image: own,
			check: CheckSignature, text: "it is for registry.example/team/os, which", fix: "signing.names"},
		"identity wants a tag": {after: func(w *world) {
			w.replace(policyFile, `"type": "matchRepository"`,
				`"type": "matchExact"`)
		},
			check: CheckSignature, text: "which matchExact does not accept",
			fix: `"signedIdentity": {"type": "matchRepository"}`},
		"identity is remapped": {after: func(w *world) {
			w.replace(policyFile, `"type": "matchRepository"`,
				`"type": "remapIdentity", "prefix": "registry.example", "signedPrefix": "x.example"`)
		}, check: CheckSignature, text: "remapIdentity registry.example to x.example does not accept"},
		"policy wants a log": {after: func(w *world) {
			w.replace(policyFile, `"type": "sigstoreSigned",`, `"type": "sigstoreSigned", "rekorPublicKeyPath": "/r",`)
		}, check: CheckSignature, text: "an entry in a log"},
		"signatures are not looked for": {after: func(w *world) { w.write(signFile, "") },
			check: CheckSignature, text: "does not look for signatures at proxy.example",
			fix: `{docker: {"proxy.example": {use-sigstore-attachments: true}}}`},
		"signatures are switched off": {after: func(w *world) {
			w.replace(signFile, "proxy.example:\n    use-sigstore-attachments: true",
				"proxy.example:\n    use-sigstore-attachments: false")
		},
			check: CheckSignature, text: "says no"},
		"namespace in two files": {after: func(w *world) {
			w.write("etc/containers/registries.d/fleet.yaml",
				"docker:\n  proxy.example:\n    use-sigstore-attachments: true\n")
		}, check: CheckSignature, text: "stands in", fix: "keep one"},
		"signatures are a server's error": {before: func(w *world) { w.broken = true }, check: CheckSignature,
			text: "cannot be read"},
		"index is not signed": {before: func(w *world) { w.index, w.signIndex = true, false },
			check: CheckSignature, text: "the index, which bootc looks at, sha256:"},
		"mirror for digests only": {after: func(w *world) {
			w.replace(confFile, "[[registry.mirror]]\n", "[[registry.mirror]]\npull-from-mirror = \"digest-only\"\n")
		},
			check: CheckNames, text: `the mirror proxy.example/registry.example/team/os is skipped: pull-from-mirror = "digest-only"`, fix: "remove that"},
		"mirrors by digest only": {after: func(w *world) {
			w.replace(confFile, "prefix =",
				"mirror-by-digest-only = true\nprefix =")
		},
			check: CheckNames, text: "mirror-by-digest-only = true"},
		"blocked": {after: func(w *world) {
			w.write(confFile, "[[registry]]\nlocation = \"registry.example/team/os\"\nblocked = true\n")
		}, check: CheckNames, text: `registry.example/team/os is not asked, and nothing else: blocked = true`,
			fix: "remove that"},
		"the proxy is blocked": {after: func(w *world) {
			w.write("etc/containers/registries.conf", "[[registry]]\nlocation = \"proxy.example\"\nblocked = true\n")
		}, check: CheckNames, text: `the mirror proxy.example/registry.example/team/os is skipped: blocked = true for "proxy.example"`},
		"prefix is no whole name": {after: func(w *world) {
			w.replace(confFile, `prefix = "registry.example/team/os"`, `prefix = "registry.example/team/o"`)
		},
			check: CheckNames, text: `does not hold registry.example/team/os`},
		"nearer entry without a mirror": {after: func(w *world) {
			w.replace(confFile, `prefix = "registry.example/team/os"`, `prefix = "registry.example/team"`)
			w.write("etc/containers/registries.conf", "[[registry]]\nlocation = \"registry.example/team/os\"\n")
		}, check: CheckNames, text: "is nearer and doesn't"},
		"location with a scheme": {after: func(w *world) {
			w.replace(confFile, `location = "proxy`,
				`location = "https://proxy`)
		},
			check: CheckNames, text: "has a scheme"},
		"registries.conf is damaged": {after: func(w *world) { w.write("etc/containers/registries.conf", "[[registry]") },
			check: CheckNames, text: "/etc/containers/registries.conf: invalid"},
		"unknown mode of short names": {after: func(w *world) {
			w.write("etc/containers/registries.conf", "short-name-mode = \"foo\"\n")
		}, check: CheckNames, text: `short-name-mode "foo" is unknown`},
		"alias with a tag": {after: func(w *world) {
			w.write("etc/containers/registries.conf.d/01.conf", "[aliases]\n\"a\" = \"B/C:t\"\n")
		}, check: CheckNames, text: `the alias "a" stands for "B/C:t"`},
		"alias of a name with a registry": {after: func(w *world) {
			w.write("etc/containers/registries.conf.d/01.conf", "[aliases]\n\"a.example/b\" = \"c.example/d\"\n")
		}, check: CheckNames, text: `the alias "a.example/b" is no name without`},
		"a program for docker's logins is missing": {before: func(w *world) { w.login = "a:b" },
			after: func(w *world) { w.write("root/.docker/config.json", `{"credHelpers":{"proxy.example":"nonesuch"}}`) },
			check: CheckLogin, text: `"docker-credential-nonesuch", and the host has no such program`},
		"places of signatures are no YAML": {after: func(w *world) {
			w.write("etc/containers/registries.d/x.yaml", "docker: [")
		}, check: CheckSignature, text: "invalid", fix: "mend the file"},
		"root's own names lead elsewhere": {after: func(w *world) {
			w.write("root/.config/containers/registries.conf.d/99-mine.conf",
				"[[registry]]\nprefix = \"registry.example/team/os\"\nlocation = \"registry.example/team/os\"\n")
		}, check: CheckReach, text: "registry.example does not resolve"},
		"root's own names are damaged": {after: func(w *world) {
			w.write("root/.config/containers/registries.conf", "[[registry]")
		}, check: CheckNames, text: "/root/.config/containers/registries.conf: invalid"},
		"root's own places of signatures": {after: func(w *world) {
			w.write("root/.config/containers/registries.d/x.yaml", "docker: {}\n")
		}, check: CheckSignature, text: "nothing in /root/.config/containers/registries.d says so",
			fix: "/root/.config/containers/registries.d/50-strata.yaml"},
		"disk is full": {before: func(w *world) { w.o.Free = func() (int64, error) { return 10, nil } },
			check: CheckSpace, text: "10 B are free", fix: "free some"},
		"bootc is too old for plain layers": {before: func(w *world) { w.o.Bootc = "1.1.2" },
			check: CheckBootc, text: "needs bootc 1.1.3 or newer (plain layers), and the host has 1.1.2"},
		"bootc is too old for many layers": {before: func(w *world) { w.layers, w.o.Bootc = 129, "1.8.0" },
			check: CheckBootc, text: "needs bootc 1.9.0 or newer (129 layers)", fix: "max_layers"},
		"no image for the platform": {before: func(w *world) { w.index, w.o.Platform = true, "linux/arm64" },
			check: CheckImage, text: "has no image for linux/arm64"},
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, m := range mistakes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if m.before != nil {
				m.before(w)
			}
			w.start()
			if m.after != nil {
				m.after(w)
			}
			image := m.image
			if image == "" {
				image = tagged
			}
			r, err := Examine(t.Context(), image, w.o)
			if err != nil || r.Works() {
				t.Fatalf("%v\n%s", err, lines(r))
			}
			for _, f := range r.Findings {
				if strings.ContainsAny(f.Text+f.Fix, "\n\r") {
					t.Errorf("not one line: %q", f)
				}
				if f.State == Wrong && f.Check == m.check && strings.Contains(f.Text, m.text) &&
					strings.Contains(f.Fix, m.fix) {
					return
				}
			}
			t.Errorf("not found:\n%s", lines(r))
		})
	}
}

func TestExamineRefuses(t *testing.T) {
	t.Parallel()
	for _, image := range []string{"", "Upper/Case", "a b", strings.Repeat("a", 600)} {
		if _, err := Examine(t.Context(), image, Options{}); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", image, err)
		}
	}
}

func TestOlder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"1.1.2", "1.1.3", true}, {"1.1.3", "1.1.3", false}, {"bootc 1.10.0", "1.9.0", false}, {"1.9", "1.9.1", true},
		{"201.9", "1.1.3", false}, {"", "1.1.3", true}, {"99999999999999999999.1", "1.1", true},
	} {
		if got := older(tt.a, tt.b); got != tt.want {
			t.Errorf("older(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}

// A secret that stands in a damaged file of logins is in no finding.
func TestLoginsStaySecret(t *testing.T) {
	t.Parallel()
	for _, content := range []string{`{"auths":{"proxy.example":{"auth":"SECRET`, `{"auths":"SECRET"}`, `SECRET`,
		`{"auths":{"proxy.example":{"auth":"SECRET!"}}}`,
		`{"auths":{"proxy.example":{"username":"u","password":"SECRET"}}}`} {
		w := newWorld(t)
		w.login = "a:b"
		w.start()
		w.write("etc/ostree/auth.json", content)
		r, err := Examine(t.Context(), tagged, w.o)
		if err != nil || r.Works() || strings.Contains(lines(r), "SECRET") {
			t.Errorf("%v\n%s", err, lines(r))
		}
	}
}

var errNone = errors.New("none")

func TestUnknownSpace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.Free = func() (int64, error) { return 0, errNone }
	w.start()
	if r, err := Examine(t.Context(), tagged, w.o); err != nil || !r.Works() {
		t.Errorf("%v\n%s", err, lines(r))
	}
}
