package sign_test

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/strata-oci/strata/proxy/trust/keys"
)

// The library that cosign 3 checks bundles with takes ours, of every kind of key, and for no other image.
func TestSigstoreTakesBundles(t *testing.T) {
	t.Parallel()
	for _, kind := range keys.Kinds() {
		m := maker(t, kind)
		signed, err := m.Sign(subject)
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.ParsePKIXPublicKey(m.Keys[0].Public().DER())
		if err != nil {
			t.Fatal(err)
		}
		checker, err := signature.LoadVerifier(key, crypto.SHA256) // as cosign verify --key does
		if err != nil {
			t.Fatal(err)
		}
		trusted := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
			return root.NewExpiringKey(checker, time.Time{}, time.Time{}), nil
		})
		v, err := verify.NewVerifier(trusted, verify.WithNoObserverTimestamps())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range signed.Artifacts {
			var b bundle.Bundle
			if err := b.UnmarshalJSON(a.Bundle.Bytes); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			for hexDigest, good := range map[string]bool{
				subject.Manifest.Digest.Encoded(): true, subject.Source.Encoded(): false,
			} {
				sum, _ := hex.DecodeString(hexDigest)
				_, err := v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", sum), verify.WithKey()))
				if (err == nil) != good {
					t.Errorf("%s, the right image %t: %v", kind, good, err)
				}
			}
		}
	}
}
