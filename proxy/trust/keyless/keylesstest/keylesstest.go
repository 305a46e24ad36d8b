// Package keylesstest is a sigstore for tests: a certificate authority, a transparency log, and whoever signs with them,
// rightly or not.
package keylesstest

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// Valid is a time after which certificates are still valid, Expired one after which they are not: they last ten minutes.
const (
	Valid   = 5 * time.Minute
	Expired = time.Hour
)

// Authority signs as Identity of Issuer, which a copy may change.
type Authority struct {
	Identity, Issuer string
	// Root is the file of the trusted root.
	Root []byte

	sigstore *ca.VirtualSigstore
	issuing  *root.FulcioCertificateAuthority // of those who ask over HTTP
	issuers  crypto.Signer
}

// New makes an authority with its own root.
func New(tb testing.TB) Authority {
	tb.Helper()
	v, err := ca.NewVirtualSigstore()
	if err != nil {
		tb.Fatal(err)
	}
	logs := v.RekorLogs()
	for id, l := range logs { // which has the name of its name
		if l.ID, err = hex.DecodeString(id); err != nil {
			tb.Fatal(err)
		}
	}
	a := Authority{Identity: "robot@builds.test", Issuer: "https://issuer.test", sigstore: v}
	a.issue(tb)
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, a.authorities(), nil, v.TimestampingAuthorities(), logs)
	if err != nil {
		tb.Fatal(err)
	}
	if a.Root, err = trusted.MarshalJSON(); err != nil {
		tb.Fatal(err)
	}
	return a
}

func (a Authority) authorities() []root.CertificateAuthority {
	return append(a.sigstore.FulcioCertificateAuthorities(), a.issuing)
}

// Certificates are those of the authority in PEM, as a policy.json names them: its root and what that has signed.
func (a Authority) Certificates(tb testing.TB) []byte {
	tb.Helper()
	var out []byte
	for _, authority := range a.authorities() {
		f, ok := authority.(*root.FulcioCertificateAuthority)
		if !ok {
			tb.Fatalf("an authority of type %T", authority)
		}
		for _, c := range append([]*x509.Certificate{f.Root}, f.Intermediates...) {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
	}
	return out
}

// LogKey is the log's public key in PEM.
func (a Authority) LogKey(tb testing.TB) []byte {
	tb.Helper()
	for _, l := range a.sigstore.RekorLogs() {
		b, err := x509.MarshalPKIXPublicKey(l.PublicKey)
		if err != nil {
			tb.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b})
	}
	tb.Fatal("the authority has no log")
	return nil
}

// promise is the log's word that it will have an entry.
func (a Authority) promise(tb testing.TB, e *protorekor.TransparencyLogEntry) []byte {
	tb.Helper()
	p, err := a.sigstore.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(e.GetCanonicalizedBody()), IntegratedTime: e.GetIntegratedTime(),
		LogIndex: e.GetLogIndex(), LogID: hex.EncodeToString(e.GetLogId().GetKeyId()),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// Payload makes a signature as cosign 2 keeps it, logged some time after the certificate was made.
func (a Authority) Payload(tb testing.TB, payload []byte, after time.Duration) simplesigning.Signature {
	tb.Helper()
	e, err := a.sigstore.SignAtTime(a.Identity, a.Issuer, payload, time.Now().Add(after))
	if err != nil {
		tb.Fatal(err)
	}
	content, _ := e.SignatureContent()
	certificate, _ := e.VerificationContent()
	entries, _ := e.TlogEntries()
	logged := entries[0].TransparencyLogEntry()
	log, err := json.Marshal(map[string]any{
		"SignedEntryTimestamp": a.promise(tb, logged),
		"Payload": map[string]any{
			"body":           base64.StdEncoding.EncodeToString(logged.GetCanonicalizedBody()),
			"integratedTime": logged.GetIntegratedTime(),
			"logIndex":       logged.GetLogIndex(), "logID": hex.EncodeToString(logged.GetLogId().GetKeyId()),
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return simplesigning.Signature{
		Payload: digest.FromBytes(payload), Bytes: content.Signature(), Log: log,
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate().Raw}),
	}
}

// Bundle makes a bundle with a statement about an artifact, logged some time after the certificate was made.
func (a Authority) Bundle(tb testing.TB, d digest.Digest, after time.Duration) []byte {
	tb.Helper()
	body := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],`+
		`"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`, d.Encoded())
	e, err := a.sigstore.AttestAtTime(a.Identity, a.Issuer, []byte(body), time.Now().Add(after), true)
	if err != nil {
		tb.Fatal(err)
	}
	content, _ := e.SignatureContent()
	certificate, _ := e.VerificationContent()
	entries, _ := e.TlogEntries()
	entry := entries[0].TransparencyLogEntry()
	entry.KindVersion = &protorekor.KindVersion{Kind: "dsse", Version: "0.0.1"}
	entry.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: a.promise(tb, entry)}
	logged, err := protojson.Marshal(entry)
	if err != nil {
		tb.Fatal(err)
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
		tb.Fatal(err)
	}
	return raw
}
