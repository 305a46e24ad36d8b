package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/trust/keys"
)

// Keys of each kind: what cosign 2 and 3 sign with one is served, by the tag .sig and by a bundle, an image and an index;
// what Strata signs with it both versions verify in both forms, knowing nothing but the key. What they sign with P-384 and
// Ed25519 they don't verify themselves unless they are told its algorithm, which is why Strata signs otherwise.
func TestCosignKeyKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range keys.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			k, u := newKeyPairOf(t, kind), newUpstream(t)
			var repositories []string
			for _, version := range []int{2, 3} {
				for _, bundles := range []bool{false, true} {
					r := fmt.Sprintf("os/cosign%d-bundles-%t", version, bundles)
					image, index := u.pushBoth(r)
					s := signer{t, u, version, bundles}
					s.sign(strings.TrimSuffix(k.private, ".key"), r, image)
					s.sign(strings.TrimSuffix(k.private, ".key"), r, index)
					args := append([]string{"verify"}, cosignChecks(t, k.public, bundles)...)
					_, err := cosignOf(t, version, nil, append(args, u.host()+"/"+r+":image")...)
					if plain := kind == keys.P256 || kind == keys.RSA; (err == nil) != plain {
						t.Errorf("%s, by cosign %d itself: %v", r, version, err)
					}
					repositories = append(repositories, r)
				}
			}
			p := newProxy(t, u, proxyOptions{rule: verifying(k),
				top: fmt.Sprintf("signing: {key_file: %s, password_file: %s}\n", k.private, k.passwordFile())})
			for _, r := range repositories {
				p.wantManifest(r+"/manifests/image", http.StatusOK, "rechunked")
				p.wantManifest(r+"/manifests/index", http.StatusOK, "rechunked")
			}
			p.cosignVerifies(repositories[0]+":image", k.public)
			p.cosignVerifies(repositories[0]+":index", k.public)
		})
	}
}

// Keys of each kind: what skopeo signs with one is served, and hosts that want signatures by it pull what Strata signs.
func TestSkopeoKeyKinds(t *testing.T) {
	t.Parallel()
	signingSkopeo(t)
	for _, kind := range keys.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			k, other, u := newKeyPairOf(t, kind), newKeyPairOf(t, kind), newUpstream(t)
			u.push("os/image:v1", series(false)[0])
			u.sign("os/image:v1", k)
			p := newProxy(t, u, proxyOptions{rule: verifying(k),
				top: fmt.Sprintf("signing: {key_file: %s, password_file: %s}\n", k.private, k.passwordFile())})
			p.wantManifest("os/image/manifests/v1", http.StatusOK, "rechunked")
			for key, good := range map[string]bool{k.public: true, other.public: false} {
				h := newStrictHost(t, p.Clients, map[string]string{upstreamHost: signedBy(key)})
				if err := h.pull(upstreamHost + "/os/image:v1"); (err == nil) != good {
					t.Errorf("the right key %t: %v", good, err)
				}
			}
		})
	}
}

// cosignVerifies has both versions of cosign check what Strata signed of an image, in both forms.
func (p *proxy) cosignVerifies(image, key string) {
	p.tb.Helper()
	for _, version := range []int{2, 3} {
		for _, bundles := range []bool{false, true} {
			args := append([]string{"verify"}, cosignChecks(p.tb, key, bundles)...)
			if version == 2 && !bundles { // it finds bundles by itself, and then wants the file of authorities
				args = append(append([]string{"verify"}, cosignChecks(p.tb, key, true)...), "--new-bundle-format=false")
			}
			if _, err := cosignOf(p.tb, version, nil, append(args, p.image(image))...); err != nil {
				p.tb.Errorf("%s: cosign %d, bundles %t: %v", image, version, bundles, err)
			}
		}
	}
}
