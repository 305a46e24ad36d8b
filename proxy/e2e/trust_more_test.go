package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/trust/keyless/keylesstest"
)

// An identity by a pattern: who matches it is served, in both forms, and who matches a part of it is not.
func TestIdentityPattern(t *testing.T) {
	t.Parallel()
	u, a := newUpstream(t), keylesstest.New(t)
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(root, a.Root, 0o600); err != nil {
		t.Fatal(err)
	}
	_, domain, ok := strings.Cut(a.Identity, "@")
	if !ok {
		t.Fatal(a.Identity)
	}
	pattern := "[a-z]+@" + strings.ReplaceAll(domain, ".", "[.]")
	p := newProxy(t, u, proxyOptions{rule: fmt.Sprintf(
		"verify: {keyless: {issuer: %q, identity_pattern: %q, trusted_root: %s}}", a.Issuer, pattern, root)})
	part, other, issuer := a, a, a
	part.Identity, other.Identity, issuer.Issuer = a.Identity+".evil.test", "robot@evil.test", "https://evil.test"
	for name, c := range map[string]struct {
		by     keylesstest.Authority
		status int
	}{
		"right": {a, http.StatusOK}, "part": {part, http.StatusForbidden}, "other": {other, http.StatusForbidden},
		"issuer": {issuer, http.StatusForbidden},
	} {
		for _, form := range []string{"payload", "bundle"} {
			f := forgery{upstream: u, repository: "os/" + name + "-" + form}
			f.image = u.push(f.repository+":image", smallImage(t, name+form))
			if form == "bundle" {
				u.refer(f.repository, f.image, c.by.Bundle(t, f.image.digest(), keylesstest.Valid))
			} else {
				f.certified(c.by, keylesstest.Valid, nil)
			}
			resp := p.get(f.repository + "/manifests/image")
			b, _ := body(t, resp)
			if resp.StatusCode != c.status || c.status != http.StatusOK && !strings.Contains(string(b), a.Issuer) {
				t.Errorf("%s, %s: %d, want %d: %s", name, form, resp.StatusCode, c.status, b)
			}
		}
	}
}

// Podman's own policy refuses what is wrong with a signature where Strata lets everything through, as skopeo's does.
func TestPodmanRefusesTamperings(t *testing.T) {
	t.Parallel()
	h := newEnforcing(t)
	u, right, wrong := newUpstream(t), newKeyPair(t), newKeyPair(t)
	p := newProxy(t, u, proxyOptions{rule: "rechunk: never"})
	h.configure(p, right.public, "--no-fallback")
	n, a := 0, keylesstest.New(t)
	for name, x := range keyedTamperings() {
		if x.client != noSignature && x.client != badSignature || x.tag != "" {
			continue
		}
		n++
		f := forgery{upstream: u, right: right, wrong: wrong, authority: a, other: a,
			repository: fmt.Sprintf("os/image%d", n)}
		f.image = f.push(f.repository+":image", smallImage(t, name))
		x.tamper(&f)
		want := "signature was required"
		if x.client == badSignature {
			want = wrongKey
		}
		t.Log(name)
		h.pull(f.name()+":image", want)
	}
	if n < 5 {
		t.Errorf("only %d tamperings", n)
	}
}

// A server that moves a tag and an import of another process that moves it, too, take turns: both succeed, each time one of
// them is what clients get, and the upstream's next version comes after either.
func TestImportMeetsServer(t *testing.T) {
	t.Parallel()
	upstreams := newKeyPair(t)
	u := newSeries(t)
	for _, v := range []string{"v1", "v2", "v3"} {
		u.cosignTag("os/image", u.digest("os/image:"+v), upstreams)
	}
	p := newProxy(t, u, proxyOptions{rule: verifying(upstreams)})
	p.wantManifest("os/image/manifests/v2", http.StatusOK, "rechunked")
	file := p.exports("os/image:v2")
	u.push("os/image:v2", series(false)[2])
	for round := range 3 {
		done := make(chan error, 1)
		go func() { done <- p.imports(file, "--force") }()
		for asking := true; asking; {
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("round %d: %v", round, err)
				}
				asking = false
			default:
			}
			resp := p.get("os/image/manifests/v2")
			if b, _ := body(t, resp); resp.StatusCode != http.StatusOK {
				t.Fatalf("round %d: %d %s", round, resp.StatusCode, b)
			}
		}
	}
}
