package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/trust/keyless/keylesstest"
)

// What the sigstore of the tests signs, on which the tests of certificates and logs stand, real cosign takes for signed,
// with the same authorities and without a network: as version 2 attaches it and as a bundle. What had expired, and what
// another identity signed, it refuses.
func TestCosignKeyless(t *testing.T) {
	t.Parallel()
	u, a, dir := newUpstream(t), keylesstest.New(t), t.TempDir()
	file := func(name string, b []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := []string{
		"SIGSTORE_ROOT_FILE=" + file("authorities.pem", a.Certificates(t)),
		"SIGSTORE_REKOR_PUBLIC_KEY=" + file("log.pem", a.LogKey(t)),
	}
	root := file("trusted_root.json", a.Root)
	other := a
	other.Identity = "robot@evil.test"
	for name, c := range map[string]struct {
		by    keylesstest.Authority
		after time.Duration
		good  bool
	}{
		"right": {a, keylesstest.Valid, true}, "expired": {a, keylesstest.Expired, false},
		"another": {other, keylesstest.Valid, false},
	} {
		for form, flags := range map[string][]string{
			"payload": {"--new-bundle-format=false"}, "bundle": {"--new-bundle-format=true", "--trusted-root", root},
		} {
			f := forgery{upstream: u, repository: "os/" + name + "-" + form}
			f.image = u.push(f.repository+":image", smallImage(t, name+form))
			if form == "bundle" {
				u.refer(f.repository, f.image, c.by.Bundle(t, f.image.digest(), c.after))
			} else {
				f.certified(c.by, c.after, nil)
			}
			for _, version := range []int{2, 3} {
				args := append([]string{"verify", "--certificate-identity", a.Identity, "--certificate-oidc-issuer",
					a.Issuer,
					"--insecure-ignore-sct", "--offline", "--allow-insecure-registry", "--allow-http-registry"}, flags...)
				args = append(args, u.host()+"/"+f.repository+"@"+f.image.digest().String())
				if _, err := cosignOf(t, version, env, args...); (err == nil) != c.good {
					t.Errorf("%s, %s, cosign %d: %v", name, form, version, err)
				}
			}
		}
	}
}
