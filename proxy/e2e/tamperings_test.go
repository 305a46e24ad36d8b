package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keyless/keylesstest"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// tampering is one with what an upstream has. A proxy that verifies refuses the image and names whose signature is missing;
// where a rule lets everything through, skopeo refuses it by its policy.
type tampering struct {
	tamper func(f *forgery)
	strata string // what Strata says, beside the key or the identity
	client string // what skopeo says; "" where the image as such is fine with its policy
	tag    string // to pull; default: image
}

const (
	noSignature  = "A signature was required, but no signature exists"
	badSignature = "cryptographic signature verification failed"
)

func keyedTamperings() map[string]tampering {
	return map[string]tampering{
		"no signature": {func(*forgery) {}, "there is no tag", noSignature, ""},
		"other key": {func(f *forgery) { f.cosignTag(f.repository, f.image.digest(), f.wrong) }, "another key",
			badSignature, ""},
		"other digest": {func(f *forgery) {
			f.attaches(cosignPayload(f.tb, f.name(), digest.FromString("other")))
		}, "another image", "does not match", ""},
		"other repository": {func(f *forgery) {
			f.attaches(cosignPayload(f.tb, upstreamHost+"/os/other", f.image.digest()))
		}, "another repository", "is not accepted", ""},
		"other registry": {func(f *forgery) {
			f.attaches(cosignPayload(f.tb, "evil.test/"+f.repository, f.image.digest()))
		}, "another repository", "is not accepted", ""},
		"repository that begins alike": {func(f *forgery) {
			f.attaches(cosignPayload(f.tb, f.name()+"-evil", f.image.digest()))
		}, "another repository", "is not accepted", ""},
		// What matchRepository, the way to check cosign's signatures, does not ask.
		"other tag": {func(f *forgery) {
			f.attaches(cosignPayload(f.tb, f.name()+":other", f.image.digest()))
		}, "another tag", "", ""},
		"signature truncated": {func(f *forgery) {
			f.changed(func(b []byte) []byte { return b[:len(b)-1] })
		}, "another key", badSignature, ""},
		"signature empty": {func(f *forgery) {
			f.changed(func([]byte) []byte { return nil })
		}, "another key", badSignature, ""},
		"signature with another bit": {func(f *forgery) {
			f.changed(func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		}, "another key", badSignature, ""},
		"payload changed": {func(f *forgery) {
			s := f.right.signature(f.tb, cosignPayload(f.tb, f.name(), digest.FromString("other")))
			s.payload = f.payload()
			f.attach(f.repository, f.image.digest(), s)
		}, "another key", badSignature, ""},
		"payload of another type": {func(f *forgery) {
			f.attaches(bytes.Replace(f.payload(), []byte("cosign container"), []byte("atomic container"), 1))
		}, "another type", "Unrecognized signature type", ""},
		"payload that says it twice": {func(f *forgery) {
			p := strings.Replace(string(f.payload()), `{"critical"`,
				`{"critical":{"identity":{"docker-reference":"evil.test/os"},"image":{"docker-manifest-digest":"`+
					digest.FromString("other").String()+`"},"type":"cosign container image signature"},"critical"`, 1)
			f.attaches([]byte(p))
		}, "twice", "Duplicate key", ""},
		"payload of garbage": {func(f *forgery) { f.attaches([]byte("garbage")) }, "payload", "invalid", ""},
		"tag of another's signature": {func(f *forgery) {
			other := f.push(f.repository+":other", smallImage(f.tb, "other"))
			f.cosignTag(f.repository, other.digest(), f.right)
			f.attaches(cosignPayload(f.tb, f.name(), other.digest()))
		}, "another image", "does not match", ""},
		"tag of an image": {func(f *forgery) {
			f.put(f.repository+":"+simplesigning.Tag(f.image.digest()), f.image)
		}, "holds no signatures", noSignature, ""},
		"signature of the image beside the index": {func(f *forgery) {
			f.attach(f.repository, f.index.digest(), f.right.signature(f.tb, f.payload()))
		}, "another image", noSignature, "index"},
		// Which is right for Strata, whose clients get signatures of all; skopeo looks at those of the image that it copies.
		"signature of the index alone": {func(f *forgery) {
			f.cosignTag(f.repository, f.index.digest(), f.right)
		}, "", noSignature, "index"},
		"signature of the index beside the image": {func(f *forgery) {
			f.attaches(cosignPayload(f.tb, f.name(), f.index.digest()))
		}, "another image", "does not match", ""},
		"bundle by another key": {func(f *forgery) {
			f.bundles(f.wrong, f.image.digest(), bundle.Signed)
		}, "another key", noSignature, ""},
		"bundle of another subject": {func(f *forgery) {
			f.bundles(f.right, digest.FromString("other"), bundle.Signed)
		}, "another image", noSignature, ""},
		"attestation for a signature": {func(f *forgery) {
			f.bundles(f.right, f.image.digest(), bundle.Provenance)
		}, "attestation", noSignature, ""},
		"bundle of garbage": {func(f *forgery) { f.refer(f.repository, f.image, []byte("{}")) }, "invalid bundle",
			noSignature, ""},
		"certificate where a key belongs": {func(f *forgery) {
			f.certified(f.authority, keylesstest.Valid, nil)
		}, "no identity is configured", badSignature, ""},
	}
}

func keylessTamperings() map[string]tampering {
	log := func(from, to string) func(*simplesigning.Signature) {
		return func(s *simplesigning.Signature) { s.Log = []byte(strings.Replace(string(s.Log), from, to, 1)) }
	}
	return map[string]tampering{
		"no keyless signature": {func(*forgery) {}, "there is no tag", noSignature, ""},
		"key where a certificate belongs": {func(f *forgery) {
			f.cosignTag(f.repository, f.image.digest(), f.right)
		}, "no certificate", "missing dev.sigstore.cosign/bundle annotation", ""},
		"certificate expired": {func(f *forgery) {
			f.certified(f.authority, keylesstest.Expired, nil)
		}, "certificate", "certificate has expired or is not yet valid", ""},
		"certificate of another authority": {func(f *forgery) {
			f.certified(f.other, keylesstest.Valid, nil)
		}, "certificate", "of Rekor SET failed", ""},
		"certificate of another authority, logged": {func(f *forgery) {
			f.certified(f.other, keylesstest.Valid, func(s *simplesigning.Signature) {
				s.Log = f.authority.Payload(f.tb, f.payload(), keylesstest.Valid).Log
			})
		}, "certificate", "does not match", ""},
		"another identity": {func(f *forgery) {
			f.authority.Identity = "robot@evil.test"
			f.certified(f.authority, keylesstest.Valid, nil)
		}, "certificate", `Required email "robot@builds.test" not found`, ""},
		"another issuer": {func(f *forgery) {
			f.authority.Issuer = "https://evil.test"
			f.certified(f.authority, keylesstest.Valid, nil)
		}, "certificate", `Unexpected Fulcio OIDC issuer "https://evil.test"`, ""},
		"log entry missing": {func(f *forgery) {
			f.certified(f.authority, keylesstest.Valid, func(s *simplesigning.Signature) { s.Log = nil })
		}, "no entry of a transparency log", "missing dev.sigstore.cosign/bundle annotation", ""},
		"log entry of another time": {func(f *forgery) {
			f.certified(f.authority, keylesstest.Valid, log(`"integratedTime":1`, `"integratedTime":2`))
		}, "certificate", "of Rekor SET failed", ""},
		"log entry of another signature": {func(f *forgery) {
			f.certified(f.authority, keylesstest.Valid, func(s *simplesigning.Signature) {
				s.Log = f.authority.Payload(f.tb, []byte("another"), keylesstest.Valid).Log
			})
		}, "certificate", "does not match", ""},
		"keyless signature of another image": {func(f *forgery) {
			p := cosignPayload(f.tb, f.name(), digest.FromString("other"))
			f.attach(f.repository, f.image.digest(), keyless(p, f.authority.Payload(f.tb, p, keylesstest.Valid)))
		}, "another image", "does not match", ""},
		"keyless bundle of another subject": {func(f *forgery) {
			f.refer(f.repository, f.image, f.authority.Bundle(f.tb, digest.FromString("other"), keylesstest.Valid))
		}, "another image", noSignature, ""},
		"keyless bundle, expired": {func(f *forgery) {
			f.refer(f.repository, f.image, f.authority.Bundle(f.tb, f.image.digest(), keylesstest.Expired))
		}, "certificate", noSignature, ""},
	}
}

func smallImage(tb testing.TB, content string) sourceImage {
	tb.Helper()
	return sourceImage{layers: [][]byte{treetest.Gzip(tb, treetest.Tar(tb, treetest.File("usr/content", content)))}}
}

// tamperingTest are an upstream with proxies before it, and clients with policies.
type tamperingTest struct {
	u                 *upstream
	forgery           forgery // without a repository
	unchecked         *proxy
	keyed, keyless    *proxy
	who               map[*proxy]string // whose signature each wants
	byKey, byIdentity string            // requirements of policies
}

func newTamperingTest(t *testing.T) *tamperingTest {
	t.Helper()
	u := newUpstream(t)
	f := forgery{upstream: u, right: newKeyPair(t), wrong: newKeyPair(t), authority: keylesstest.New(t),
		other: keylesstest.New(t)}
	second := newKeyPair(t)
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(root, f.authority.Root, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &tamperingTest{u: u, forgery: f,
		unchecked: newProxy(t, u, proxyOptions{rule: "rechunk: never"}),
		keyed:     newProxy(t, u, proxyOptions{rule: "verify: {keys: [" + f.right.public + ", " + second.public + "]}"}),
		keyless: newProxy(t, u, proxyOptions{rule: fmt.Sprintf(
			"verify: {keyless: {issuer: %q, identity: %q, trusted_root: %s}}", f.authority.Issuer, f.authority.Identity,
			root)}),
		byKey: signedBy(f.right.public, second.public),
		byIdentity: fmt.Sprintf(`[{"type": "sigstoreSigned", "fulcio": {"caData": %s, "oidcIssuer": %q, "subjectEmail": %q},`+
			`"rekorPublicKeyData": %s, "signedIdentity": {"type": "matchRepository"}}]`,
			marshal(t, "", f.authority.Certificates(t)).raw, f.authority.Issuer, f.authority.Identity,
			marshal(t, "", f.authority.LogKey(t)).raw),
	}
	c.who = map[*proxy]string{c.keyed: f.right.Public().ID(), c.keyless: "identity " + f.authority.Identity + " of " +
		f.authority.Issuer}
	return c
}

// try has skopeo pull what was tampered with.
func (c *tamperingTest) try(t *testing.T, repository string, x tampering, p *proxy, policy string) {
	t.Helper()
	f := c.forgery
	f.upstream = &upstream{tb: t, server: c.u.server}
	f.repository = repository
	f.image = f.push(repository+":image", smallImage(t, repository))
	d := f.image.descriptor()
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	f.index = marshal(t, ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d}})
	f.put(repository+":index", f.index)
	x.tamper(&f)
	tag := x.tag
	if tag == "" {
		tag = "image"
	}
	image := f.name() + ":" + tag
	err := pullAnything(t, p.Clients+"/"+image)
	switch {
	case x.strata == "" && err != nil:
		t.Errorf("Strata: %v", err)
	case x.strata != "" && (err == nil || !strings.Contains(err.Error(), x.strata) ||
		!strings.Contains(err.Error(), c.who[p])):
		t.Errorf("Strata: %v\nwant %q and %s", err, x.strata, c.who[p])
	}
	if _, signing := newestSkopeo(t); !signing {
		return
	}
	err = newStrictHost(t, c.unchecked.Clients, map[string]string{upstreamHost: policy}).pull(image)
	if (x.client == "") != (err == nil) || err != nil &&
		!strings.Contains(strings.ReplaceAll(err.Error(), `\"`, `"`), x.client) {
		t.Errorf("the client: %v\nwant %q", err, x.client)
	}
}

// Whatever is wrong with a signature at the upstream: a proxy that verifies refuses the image, and skopeo shows whose
// signature is missing; behind a rule that lets everything through, skopeo's own policy refuses it, with what it says about
// that. Right signatures, by which all that is told apart, pass both.
func TestTamperings(t *testing.T) {
	t.Parallel()
	need(t, "skopeo")
	c := newTamperingTest(t)
	keyed, keyless := keyedTamperings(), keylessTamperings()
	if n := len(keyed) + len(keyless); n < 20 {
		t.Errorf("only %d tamperings", n)
	}
	keyed["right"] = tampering{tamper: func(f *forgery) { f.cosignTag(f.repository, f.image.digest(), f.right) }}
	keyed["right index"] = tampering{tag: "index", tamper: func(f *forgery) {
		f.cosignTag(f.repository, f.index.digest(), f.right)
		f.cosignTag(f.repository, f.image.digest(), f.right)
	}}
	keyless["right"] = tampering{tamper: func(f *forgery) { f.certified(f.authority, keylesstest.Valid, nil) }}
	n := 0
	for _, form := range []struct {
		all    map[string]tampering
		proxy  *proxy
		policy string
	}{{keyed, c.keyed, c.byKey}, {keyless, c.keyless, c.byIdentity}} {
		for name, x := range form.all {
			n++
			repository := fmt.Sprintf("os/image%d", n)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c.try(t, repository, x, form.proxy, form.policy)
			})
		}
	}
}

// What is done to a tag that was good: the old image put back, an image that nobody signed put under it, the signature
// removed, and the key rotated away. Clients get what was good, or nothing.
func TestTamperingsLater(t *testing.T) {
	t.Parallel()
	need(t, "skopeo")
	u, right, next := newUpstream(t), newKeyPair(t), newKeyPair(t)
	var v [3]document
	for i, img := range series(false) {
		if v[i] = u.push(fmt.Sprintf("os/image:v%d", i+1), img); i < 2 {
			u.cosignTag("os/image", v[i].digest(), right)
		}
	}
	v1, v2, v3 := v[0], v[1], v[2]
	p := newProxy(t, u, proxyOptions{rule: verifying(right)})
	u.put("os/image:stable", v1)
	p.wantManifest("os/image/manifests/stable", http.StatusOK, "rechunked")
	u.put("os/image:stable", v2)
	command(t, nil, program, "warm", upstreamHost+"/os/image:stable", "--admin", "http://"+p.Operators)
	good := p.wantManifest("os/image/manifests/stable", http.StatusOK, "rechunked")
	for what, to := range map[string]document{"old image": v1, "image that nobody signed": v3} {
		u.put("os/image:stable", to)
		if got := p.wantManifest("os/image/manifests/stable", http.StatusOK, "stale"); got != good {
			t.Errorf("%s: %s is served, not %s", what, got, good)
		}
		status := command(t, nil, program, "status", upstreamHost+"/os/image", "--admin", "http://"+p.Operators)
		if want := map[string]string{"old image": "release",
			"image that nobody signed": right.Public().ID()}[what]; !strings.Contains(status, want) {
			t.Errorf("%s: status does not say %q:\n%s", what, want, status)
		}
	}
	if err := pullAnything(t, p.image("os/image@"+v3.digest().String())); err == nil ||
		!strings.Contains(err.Error(), right.Public().ID()) {
		t.Errorf("by digest: %v", err)
	}
	u.put("os/image:stable", v2)
	text := strings.ReplaceAll(readFile(t, p.config), right.public, next.public)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, nil, program, "reload", "--admin", "http://"+p.Operators)
	for _, ref := range []string{":stable", "@" + good.String()} {
		if err := pullAnything(t, p.image("os/image"+ref)); err == nil ||
			!strings.Contains(err.Error(), next.Public().ID()) {
			t.Errorf("after the rotation, %s: %v", ref, err)
		}
	}
}
