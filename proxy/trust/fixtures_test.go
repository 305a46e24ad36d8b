package trust_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/trust/keyless"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/proxy/trust/verify/verifytest"
)

// Everything that real cosign 2 and 3 made: what a key or an identity signed passes for them and no other, what was attested
// alone does not.
func TestFixtures(t *testing.T) {
	t.Parallel()
	other, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("verify/testdata/cosign*/*.json")
	if err != nil || len(files) != 16 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	readme, err := os.ReadFile("verify/testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f := verifytest.Read(t, file)
		if !strings.Contains(string(readme), f.Command) {
			t.Errorf("%s: README.md does not name %s", file, f.Command)
		}
		source, img := f.Registry()
		right, wrong := policies(t, f, other.Public())
		c := verify.Checker{Source: source}
		v, err := c.Check(t.Context(), img, right)
		how := verify.ByTag
		if strings.HasSuffix(file, "bundle.json") {
			how = verify.ByBundle
		}
		switch {
		case strings.Contains(file, "/attest-"):
			if !errors.Is(err, verify.ErrRefused) {
				t.Errorf("%s: %+v, %v", file, v, err)
			}
		case err != nil || v.How != how:
			t.Errorf("%s: %+v, %v", file, v, err)
		}
		if _, err := c.Check(t.Context(), img, wrong); !errors.Is(err, verify.ErrRefused) ||
			!strings.Contains(err.Error(), wrong.Wants()) {
			t.Errorf("%s, for another: %v", file, err)
		}
	}
}

// policies are the one for a fixture's key or identity, and one for others.
func policies(t *testing.T, f verifytest.Fixture, other keys.Public) (right, wrong *verify.Policy) {
	t.Helper()
	if f.Key != "" {
		public, err := keys.ParsePublic([]byte(f.Key))
		if err != nil {
			t.Fatal(err)
		}
		return &verify.Policy{Keys: public}, &verify.Policy{Keys: []keys.Public{other}}
	}
	identity := func(who string) *verify.Policy {
		v, err := keyless.New(f.Root, keyless.Rules{Issuer: f.Issuer, Identity: who})
		if err != nil {
			t.Fatal(err)
		}
		return &verify.Policy{Keyless: v}
	}
	return identity(f.Identity), identity("robot@evil.test")
}
