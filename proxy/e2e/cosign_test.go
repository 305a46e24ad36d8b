package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/strata-oci/strata/proxy/trust/keys"
)

// cosign runs cosign 3 with a key's password, and without its services.
func cosign(tb testing.TB, args ...string) (string, error) {
	tb.Helper()
	return cosignOf(tb, 3, nil, args...)
}

// cosignOf is cosign of a version, with further environment.
func cosignOf(tb testing.TB, version int, env []string, args ...string) (string, error) {
	tb.Helper()
	path := filepath.Join(os.Getenv("STRATA_TEST_CLIENTS"), map[int]string{2: "2/cosign", 3: "cosign"}[version])
	if _, err := os.Stat(path); err != nil || os.Getenv("STRATA_TEST_CLIENTS") == "" {
		tb.Skip("STRATA_TEST_CLIENTS is not set: make test-clients")
	}
	env = append([]string{"COSIGN_PASSWORD=" + keyPassword, "HOME=" + tb.TempDir(), "SIGSTORE_NO_CACHE=true"}, env...)
	return try(tb, env, path, args...)
}

// cosignChecks are the flags by which cosign checks what a key signed, without its services.
func cosignChecks(tb testing.TB, key string, bundles bool) []string {
	tb.Helper()
	flags := []string{
		"--key", key, "--insecure-ignore-tlog=true", "--allow-insecure-registry", "--allow-http-registry",
		fmt.Sprintf("--new-bundle-format=%t", bundles),
	}
	if !bundles {
		return flags
	}
	// Keys need no authorities, but without a file cosign looks for some in the network.
	trusted := filepath.Join(tb.TempDir(), "trusted_root.json")
	text := `{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`
	if err := os.WriteFile(trusted, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return append(flags, "--trusted-root", trusted)
}

// What cosign signs, in the form of its versions 2 and 3, with a key that it made or one of Strata's, is served; what
// Strata signs, cosign verifies in both forms, by tag and digest, and no other key does.
func TestCosign(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := cosign(t, "generate-key-pair", "--output-key-prefix", dir+"/cosign"); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(dir + "/cosign.key")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ParsePrivate(file, []byte(keyPassword)); err != nil {
		t.Errorf("cosign's key: %v", err)
	}
	strataKey, other := newKeyPair(t), newKeyPair(t)
	checking := func(key string, bundles bool) []string { return cosignChecks(t, key, bundles) }
	for form, c := range map[string]struct{ bundles, key string }{
		"cosign 2": {"false", dir + "/cosign.key"}, "cosign 3": {"true", dir + "/cosign.key"},
		"Strata's key": {"true", strataKey.private},
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			u := newSeries(t)
			at := u.host() + "/os/image@" + u.digest("os/image:v1").String()
			_, err := cosign(t, "sign", "--key", c.key, "--yes", "--tlog-upload=false", "--use-signing-config=false",
				"--allow-insecure-registry", "--allow-http-registry", "--new-bundle-format="+c.bundles,
				"--sign-container-identity", upstreamHost+"/os/image", at)
			if err != nil {
				t.Fatal(err)
			}
			p := newProxy(t, u, proxyOptions{
				rule: "verify: {keys: [" + dir + "/cosign.pub, " + strataKey.public + "]}",
				top: fmt.Sprintf("signing: {key_file: %s, password_file: %s}\n", strataKey.private,
					strataKey.passwordFile()),
			})
			served := p.wantManifest("os/image/manifests/v1", http.StatusOK, "rechunked")
			for _, bundles := range []bool{true, false} {
				for _, image := range []string{p.image("os/image:v1"), p.image("os/image@" + served.String())} {
					for key, good := range map[string]bool{strataKey.public: true, other.public: false} {
						_, err := cosign(t, append(append([]string{"verify"}, checking(key, bundles)...), image)...)
						if (err == nil) != good {
							t.Errorf("bundles %t, the right key %t: %v", bundles, good, err)
						}
					}
				}
			}
			args := append([]string{"verify-attestation", "--type", "slsaprovenance1"}, checking(strataKey.public, true)...)
			if _, err := cosign(t, append(args, p.image("os/image@"+served.String()))...); err != nil {
				t.Errorf("the provenance: %v", err)
			}
			source := "docker://" + u.host() + "/os/image:v1"
			for key, good := range map[string]bool{strataKey.public: true, other.public: false} {
				_, err := try(t, nil, program, "verify", "--provenance-key", key, source, "docker://"+p.image("os/image:v1"))
				if (err == nil) != good {
					t.Errorf("strata verify, the right key %t: %v", good, err)
				}
			}
		})
	}
}
