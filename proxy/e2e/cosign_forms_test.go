package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
)

// cosignKey has a version of cosign make DIR/cosign.key and .pub.
func cosignKey(tb testing.TB, version int) string {
	tb.Helper()
	prefix := filepath.Join(tb.TempDir(), "cosign")
	if _, err := cosignOf(tb, version, nil, "generate-key-pair", "--output-key-prefix", prefix); err != nil {
		tb.Fatal(err)
	}
	return prefix
}

// signer is one form of signatures of one version of cosign, at an upstream.
type signer struct {
	tb      testing.TB
	u       *upstream
	version int
	bundles bool
}

func (s signer) run(command, key, repository string, d digest.Digest, more ...string) {
	s.tb.Helper()
	args := append([]string{
		command, "--key", key + ".key", "--yes", "--tlog-upload=false", "--use-signing-config=false",
		"--allow-insecure-registry", "--allow-http-registry", fmt.Sprintf("--new-bundle-format=%t", s.bundles),
	}, more...)
	if _, err := cosignOf(s.tb, s.version, nil, append(args, s.u.host()+"/"+repository+"@"+d.String())...); err != nil {
		s.tb.Fatal(err)
	}
}

func (s signer) sign(key, repository string, d digest.Digest) {
	s.tb.Helper()
	s.run("sign", key, repository, d, "--sign-container-identity", upstreamHost+"/"+repository)
}

func (s signer) attest(key, repository string, d digest.Digest) {
	s.tb.Helper()
	predicate := filepath.Join(s.tb.TempDir(), "predicate.json")
	if err := os.WriteFile(predicate, []byte(`{"tested": true}`), 0o600); err != nil {
		s.tb.Fatal(err)
	}
	s.run("attest", key, repository, d, "--type", "custom", "--predicate", predicate)
}

// pushBoth stores an image in a repository as REPOSITORY:image, and an index of it as REPOSITORY:index.
func (u *upstream) pushBoth(repository string) (image, index digest.Digest) {
	u.tb.Helper()
	m := u.push(repository+":image", series(false)[0])
	return m.digest(), u.pushIndex(repository+":index", m).digest()
}

// What cosign 2 and 3 sign is served: by the tag .sig and by bundles, at a registry with the API for referrers and at one
// without, an image or an index, by either of two keys, beside attestations. What others signed, and what was attested
// alone, is not. What Strata signs of it both versions verify, in both forms.
func TestCosignForms(t *testing.T) {
	t.Parallel()
	for _, version := range []int{2, 3} {
		for _, bundles := range []bool{false, true} {
			for _, api := range []bool{false, true} {
				t.Run(fmt.Sprintf("cosign %d bundles %t referrers %t", version, bundles, api), func(t *testing.T) {
					t.Parallel()
					var u *upstream
					if api {
						u = newUpstreamOf(t, registry.New(registry.WithReferrersSupport(true),
							registry.Logger(log.New(io.Discard, "", 0))))
					} else {
						u = newUpstream(t)
					}
					cosignForms(t, signer{t, u, version, bundles})
				})
			}
		}
	}
}

func cosignForms(t *testing.T, s signer) {
	first, second, other := cosignKey(t, s.version), cosignKey(t, s.version), cosignKey(t, s.version)
	ours := newKeyPair(t)
	want := map[string]int{}
	for repository, prepare := range map[string]func(repository string, image, index digest.Digest){
		"image:image":  func(r string, image, _ digest.Digest) { s.sign(first, r, image) },
		"index:index":  func(r string, _, index digest.Digest) { s.sign(first, r, index) },
		"second:image": func(r string, image, _ digest.Digest) { s.sign(second, r, image) },
		"crowd:image": func(r string, image, _ digest.Digest) {
			s.attest(other, r, image)
			s.sign(first, r, image)
			s.attest(first, r, image)
		},
		"!other:image":    func(r string, image, _ digest.Digest) { s.sign(other, r, image) },
		"!attested:image": func(r string, image, _ digest.Digest) { s.attest(first, r, image) },
		"!nobody:index":   func(string, digest.Digest, digest.Digest) {},
	} {
		name, refused := strings.CutPrefix(repository, "!")
		r, _, _ := strings.Cut(name, ":")
		image, index := s.u.pushBoth("os/" + r)
		prepare("os/"+r, image, index)
		want[name] = http.StatusOK
		if refused {
			want[name] = http.StatusForbidden
		}
	}
	p := newProxy(t, s.u, proxyOptions{
		rule: fmt.Sprintf("verify: {keys: [%s.pub, %s.pub]}", first, second),
		top:  fmt.Sprintf("signing: {key_file: %s, password_file: %s}\n", ours.private, ours.passwordFile()),
	})
	for name, status := range want {
		repository, tag, _ := strings.Cut(name, ":")
		resp := p.get("os/" + repository + "/manifests/" + tag)
		b, d := body(t, resp)
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d: %s", name, resp.StatusCode, status, b)
		}
		if status != http.StatusOK {
			continue
		}
		p.cosignVerifies("os/"+repository+"@"+d.String(), ours.public)
	}
}
