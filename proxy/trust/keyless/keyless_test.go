package keyless_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/trust/keyless"
	"github.com/strata-oci/strata/proxy/trust/keyless/keylesstest"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

const (
	issuer   = "https://issuer.test"
	identity = "robot@builds.test"
)

// verifier is one that trusts an authority.
func verifier(t testing.TB, a keylesstest.Authority, rules keyless.Rules) *keyless.Verifier {
	t.Helper()
	v, err := keyless.New(a.Root, rules)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var (
	image   = digest.FromString("an image")
	payload = []byte("a payload")
)

// What the identity signed passes in both forms, by its name and by a pattern.
func TestPasses(t *testing.T) {
	t.Parallel()
	a := keylesstest.New(t)
	for _, rules := range []keyless.Rules{
		{Issuer: issuer, Identity: identity}, {Issuer: issuer, IdentityPattern: `.*@builds\.test`},
	} {
		v := verifier(t, a, rules)
		if err := v.Payload(payload, a.Payload(t, payload, keylesstest.Valid)); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		if err := v.Bundle(a.Bundle(t, image, keylesstest.Valid), image); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

// Whatever is missing or wrong, the signature is refused.
func TestRefused(t *testing.T) {
	t.Parallel()
	a, other := keylesstest.New(t), keylesstest.New(t)
	right := keyless.Rules{Issuer: issuer, Identity: identity}
	good := a.Payload(t, payload, keylesstest.Valid)
	changed := func(change func(*simplesigning.Signature)) simplesigning.Signature {
		s := good
		change(&s)
		return s
	}
	log := func(from, to string) simplesigning.Signature {
		return changed(func(s *simplesigning.Signature) { s.Log = []byte(strings.Replace(string(s.Log), from, to, 1)) })
	}
	for what, c := range map[string]struct {
		rules     keyless.Rules
		signature simplesigning.Signature
	}{
		"another identity":    {keyless.Rules{Issuer: issuer, Identity: "robot@evil.test"}, good},
		"another issuer":      {keyless.Rules{Issuer: "https://evil.test", Identity: identity}, good},
		"a part of a pattern": {keyless.Rules{Issuer: issuer, IdentityPattern: "robot"}, good},
		"no log entry":        {right, changed(func(s *simplesigning.Signature) { s.Log = nil })},
		"garbage for a log":   {right, changed(func(s *simplesigning.Signature) { s.Log = []byte("{}") })},
		"another time":        {right, log(`"integratedTime":1`, `"integratedTime":2`)},
		"another log":         {right, log(`"logID":"`, `"logID":"00`)},
		"no certificate":      {right, changed(func(s *simplesigning.Signature) { s.Certificate = []byte("x") })},
		"another signature":   {right, changed(func(s *simplesigning.Signature) { s.Bytes = []byte("x") })},
		"another authority":   {right, other.Payload(t, payload, keylesstest.Valid)},
		"another one's entry": {right, changed(func(s *simplesigning.Signature) {
			s.Log = a.Payload(t, payload,
				keylesstest.Valid).Log
		})},
		"expired when logged":  {right, a.Payload(t, payload, keylesstest.Expired)},
		"logged before it was": {right, a.Payload(t, payload, -time.Hour)},
		"of another payload":   {right, a.Payload(t, []byte("another"), keylesstest.Valid)},
	} {
		if err := verifier(t, a, c.rules).Payload(payload, c.signature); !errors.Is(err, keyless.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	v := verifier(t, a, right)
	for what, raw := range map[string][]byte{
		"about another image": a.Bundle(t, digest.FromString("another"), keylesstest.Valid),
		"expired":             a.Bundle(t, image, keylesstest.Expired),
		"another authority":   other.Bundle(t, image, keylesstest.Valid), "empty": nil, "garbage": []byte("{}"),
	} {
		if err := v.Bundle(raw, image); !errors.Is(err, keyless.ErrRefused) {
			t.Errorf("bundle, %s: %v", what, err)
		}
	}
}

func TestRoots(t *testing.T) {
	t.Parallel()
	for what, file := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "long": make([]byte, keyless.MaxRoot+1),
		"nobody": []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`),
	} {
		if _, err := keyless.New(file, keyless.Rules{Issuer: issuer, Identity: identity}); !errors.Is(err, keyless.ErrRoot) {
			t.Errorf("%s: %v", what, err)
		}
	}
	a := keylesstest.New(t)
	one, two := verifier(t, a, keyless.Rules{Issuer: issuer, Identity: "a"}),
		verifier(t, a, keyless.Rules{Issuer: issuer, Identity: "b"})
	if one.Fingerprint() == two.Fingerprint() ||
		one.Fingerprint() == verifier(t, keylesstest.New(t), keyless.Rules{Issuer: issuer, Identity: "a"}).Fingerprint() {
		t.Error("what differs has one fingerprint")
	}
}

func FuzzPayload(f *testing.F) {
	a := keylesstest.New(f)
	good := a.Payload(f, payload, keylesstest.Valid)
	v := verifier(f, a, keyless.Rules{Issuer: issuer, Identity: identity})
	f.Add(good.Certificate, good.Log, good.Bytes)
	f.Fuzz(func(t *testing.T, certificate, log, signature []byte) {
		s := simplesigning.Signature{Certificate: certificate, Log: log, Bytes: signature}
		if err := v.Payload([]byte("another"), s); !errors.Is(err, keyless.ErrRefused) {
			t.Error(err)
		}
	})
}
