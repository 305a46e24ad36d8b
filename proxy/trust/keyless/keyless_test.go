package keyless_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/strata-oci/strata/proxy/trust/keyless"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

const (
	issuer   = "https://issuer.test"
	identity = "robot@builds.test"
)

// authority is a sigstore of a test's own: certificates, log and all.
type authority struct {
	*ca.VirtualSigstore
	root []byte // as a file
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	v, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	logs := v.RekorLogs()
	for id, l := range logs { // which has the name of its name
		if l.ID, err = hex.DecodeString(id); err != nil {
			t.Fatal(err)
		}
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, v.FulcioCertificateAuthorities(), nil,
		v.TimestampingAuthorities(), logs)
	if err != nil {
		t.Fatal(err)
	}
	file, err := trusted.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return authority{v, file}
}

func (a authority) verifier(t testing.TB, rules keyless.Rules) *keyless.Verifier {
	t.Helper()
	v, err := keyless.New(a.root, rules)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// promise is the log's word that it will have an entry.
func (a authority) promise(t testing.TB, e *protorekor.TransparencyLogEntry) []byte {
	t.Helper()
	p, err := a.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(e.GetCanonicalizedBody()), IntegratedTime: e.GetIntegratedTime(),
		LogIndex: e.GetLogIndex(), LogID: hex.EncodeToString(e.GetLogId().GetKeyId()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// annotations makes a signature as cosign 2 keeps it, logged some time after the certificate was made.
func (a authority) annotations(t testing.TB, payload []byte, after time.Duration) simplesigning.Signature {
	t.Helper()
	e, err := a.SignAtTime(identity, issuer, payload, time.Now().Add(after))
	if err != nil {
		t.Fatal(err)
	}
	content, _ := e.SignatureContent()
	certificate, _ := e.VerificationContent()
	entries, _ := e.TlogEntries()
	logged := entries[0].TransparencyLogEntry()
	log, err := json.Marshal(map[string]any{
		"SignedEntryTimestamp": a.promise(t, logged),
		"Payload": map[string]any{
			"body":           base64.StdEncoding.EncodeToString(logged.GetCanonicalizedBody()),
			"integratedTime": logged.GetIntegratedTime(),
			"logIndex":       logged.GetLogIndex(), "logID": hex.EncodeToString(logged.GetLogId().GetKeyId()),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return simplesigning.Signature{
		Payload: digest.FromBytes(payload), Bytes: content.Signature(), Log: log,
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate().Raw}),
	}
}

// bundled makes a bundle with a statement about an artifact.
func (a authority) bundled(t testing.TB, d digest.Digest, after time.Duration) []byte {
	t.Helper()
	body := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],`+
		`"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`, d.Encoded())
	e, err := a.AttestAtTime(identity, issuer, []byte(body), time.Now().Add(after), true)
	if err != nil {
		t.Fatal(err)
	}
	content, _ := e.SignatureContent()
	certificate, _ := e.VerificationContent()
	entries, _ := e.TlogEntries()
	entry := entries[0].TransparencyLogEntry()
	entry.KindVersion = &protorekor.KindVersion{Kind: "dsse", Version: "0.0.1"}
	entry.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: a.promise(t, entry)}
	logged, err := protojson.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{
			"certificate": map[string]any{"rawBytes": certificate.Certificate().Raw},
			"tlogEntries": []json.RawMessage{logged},
		},
		"dsseEnvelope": content.EnvelopeContent().RawEnvelope(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var (
	image   = digest.FromString("an image")
	payload = []byte("a payload")
	during  = 5 * time.Minute // the certificate is valid for ten
)

// What the identity signed passes in both forms, by its name and by a pattern.
func TestPasses(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for _, rules := range []keyless.Rules{
		{Issuer: issuer, Identity: identity}, {Issuer: issuer, IdentityPattern: `.*@builds\.test`},
	} {
		v := a.verifier(t, rules)
		if err := v.Payload(payload, a.annotations(t, payload, during)); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		if err := v.Bundle(a.bundled(t, image, during), image); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

// Whatever is missing or wrong, the signature is refused.
func TestRefused(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t), newAuthority(t)
	right := keyless.Rules{Issuer: issuer, Identity: identity}
	good := a.annotations(t, payload, during)
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
		"another authority":   {right, other.annotations(t, payload, during)},
		"another one's entry": {right, changed(func(s *simplesigning.Signature) {
			s.Log = a.annotations(t, payload,
				during).Log
		})},
		"expired when logged":  {right, a.annotations(t, payload, time.Hour)},
		"logged before it was": {right, a.annotations(t, payload, -time.Hour)},
		"of another payload":   {right, a.annotations(t, []byte("another"), during)},
	} {
		if err := a.verifier(t, c.rules).Payload(payload, c.signature); !errors.Is(err, keyless.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	v := a.verifier(t, right)
	for what, raw := range map[string][]byte{
		"about another image": a.bundled(t, digest.FromString("another"), during), "expired": a.bundled(t, image, time.Hour),
		"another authority": other.bundled(t, image, during), "empty": nil, "garbage": []byte("{}"),
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
	a := newAuthority(t)
	one, two := a.verifier(t, keyless.Rules{Issuer: issuer, Identity: "a"}),
		a.verifier(t, keyless.Rules{Issuer: issuer, Identity: "b"})
	if one.Fingerprint() == two.Fingerprint() || one.Fingerprint() == newAuthority(t).verifier(t,
		keyless.Rules{Issuer: issuer, Identity: "a"}).Fingerprint() {
		t.Error("what differs has one fingerprint")
	}
}

func FuzzPayload(f *testing.F) {
	a := newAuthority(f)
	good := a.annotations(f, payload, during)
	v := a.verifier(f, keyless.Rules{Issuer: issuer, Identity: identity})
	f.Add(good.Certificate, good.Log, good.Bytes)
	f.Fuzz(func(t *testing.T, certificate, log, signature []byte) {
		s := simplesigning.Signature{Certificate: certificate, Log: log, Bytes: signature}
		if err := v.Payload([]byte("another"), s); !errors.Is(err, keyless.ErrRefused) {
			t.Error(err)
		}
	})
}
