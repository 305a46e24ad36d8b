// Package keyless checks signatures that were made with sigstore's short-lived certificates: that a certificate of the
// trusted root names the identity, that it was valid when the transparency log took the entry, and that the log has it. All
// that is needed lies in the trusted root's file and beside the signature; nobody is asked. The checks are sigstore-go's.
package keyless

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/proxy/trust/strict"
	"github.com/strata-oci/strata/rechunk/rescue"
)

const (
	// MaxRoot bounds a trusted root's file in bytes.
	MaxRoot = 4 << 20

	oldestBundle = "application/vnd.dev.sigstore.bundle+json;version=0.1"
	certificate  = "CERTIFICATE"
)

var (
	// ErrRoot marks a trusted root that cannot be used.
	ErrRoot = errors.New("invalid trusted root")
	// ErrRefused says that a signature is not the identity's, or not proven to be.
	ErrRefused = errors.New("the certificate does not pass")
)

// Rules say who may sign.
type Rules struct {
	// Issuer is that of the identity, "https://token.actions.githubusercontent.com".
	Issuer string
	// Identity is the certificate's subject alternative name, exactly, and IdentityPattern a regular expression that
	// matches all of it. One of the two is set.
	Identity, IdentityPattern string
}

// Verifier checks signatures by an identity. It is safe for concurrent use.
type Verifier struct {
	rules    Rules
	root     [sha256.Size]byte
	verifier *verify.Verifier
	identity verify.CertificateIdentity
}

// New returns a verifier that trusts what a file in the format of sigstore's trusted roots says (trusted_root.json). Errors
// about the file wrap ErrRoot.
func New(trustedRoot []byte, rules Rules) (*Verifier, error) {
	if len(trustedRoot) > MaxRoot {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrRoot, len(trustedRoot), MaxRoot)
	}
	material, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	if len(material.RekorLogs()) == 0 || len(material.FulcioCertificateAuthorities()) == 0 {
		return nil, fmt.Errorf("%w: it needs a certificate authority and a transparency log", ErrRoot)
	}
	options := []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}
	if len(material.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	v := &Verifier{rules: rules, root: sha256.Sum256(trustedRoot)}
	if v.verifier, err = verify.NewVerifier(material, options...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	pattern := ""
	if rules.IdentityPattern != "" {
		pattern = "^(?:" + rules.IdentityPattern + ")$"
	}
	if v.identity, err = verify.NewShortCertificateIdentity(rules.Issuer, "", rules.Identity, pattern); err != nil {
		return nil, fmt.Errorf("the identity: %w", err)
	}
	return v, nil
}

// String names identity and issuer.
func (v *Verifier) String() string {
	who := v.rules.Identity
	if who == "" {
		who = "matching " + v.rules.IdentityPattern
	}
	return "identity " + who + " of " + v.rules.Issuer
}

// Fingerprint names the rules and the trusted root.
func (v *Verifier) Fingerprint() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %x", v.rules.Issuer, v.rules.Identity, v.rules.IdentityPattern, v.root))
	return hex.EncodeToString(sum[:16])
}

// Bundle checks a bundle about an artifact: an envelope with a statement about it, or a signature of the artifact itself.
// Errors wrap ErrRefused.
func (v *Verifier) Bundle(raw []byte, artifact digest.Digest) error {
	var b bundle.Bundle
	if err := v.safely(func() error { return b.UnmarshalJSON(raw) }); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	sum, err := hex.DecodeString(artifact.Encoded())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return v.check(&b, verify.WithArtifactDigest(artifact.Algorithm().String(), sum))
}

// Payload checks a signature as cosign 2 keeps it, certificate and log entry in annotations. Errors wrap ErrRefused.
func (v *Verifier) Payload(payload []byte, s simplesigning.Signature) error {
	var b *bundle.Bundle
	err := v.safely(func() error {
		doc, err := convert(payload, s)
		if err == nil {
			b, err = bundle.NewBundle(doc)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return v.check(b, verify.WithArtifact(bytes.NewReader(payload)))
}

func (v *Verifier) check(b *bundle.Bundle, artifact verify.ArtifactPolicyOption) error {
	err := v.safely(func() error {
		_, err := v.verifier.Verify(b, verify.NewPolicy(artifact, verify.WithCertificateIdentity(v.identity)))
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// safely keeps a panic of a parser of foreign bytes from costing more than this signature.
func (*Verifier) safely(f func() error) error { return rescue.Call(f) }

// logEntry is what cosign notes of the transparency log.
type logEntry struct {
	Promise []byte `json:"SignedEntryTimestamp"`
	Payload struct {
		Body  []byte `json:"body"`
		Time  int64  `json:"integratedTime"`
		Index int64  `json:"logIndex"`
		Log   string `json:"logID"`
	} `json:"Payload"`
}

// convert makes a bundle of a signature with annotations.
func convert(payload []byte, s simplesigning.Signature) (*protobundle.Bundle, error) {
	block, _ := pem.Decode(s.Certificate)
	if block == nil || block.Type != certificate {
		return nil, errors.New("its certificate is none")
	}
	if len(s.Log) == 0 {
		return nil, errors.New("it has no entry of a transparency log")
	}
	entry, err := convertEntry(s.Log)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(payload)
	return &protobundle.Bundle{
		MediaType: oldestBundle,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_X509CertificateChain{
				X509CertificateChain: &protocommon.X509CertificateChain{
					Certificates: []*protocommon.X509Certificate{{RawBytes: block.Bytes}},
				},
			},
			TlogEntries: []*protorekor.TransparencyLogEntry{entry},
		},
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     s.Bytes,
		}},
	}, nil
}

func convertEntry(raw []byte) (*protorekor.TransparencyLogEntry, error) {
	var e logEntry
	if err := strict.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("its log entry: %w", err)
	}
	var kind struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	if err := strict.Unmarshal(e.Payload.Body, &kind); err != nil {
		return nil, fmt.Errorf("its log entry: %w", err)
	}
	id, err := hex.DecodeString(e.Payload.Log)
	if err != nil {
		return nil, fmt.Errorf("its log entry: %w", err)
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex: e.Payload.Index, LogId: &protocommon.LogId{KeyId: id},
		KindVersion:    &protorekor.KindVersion{Kind: kind.Kind, Version: kind.Version},
		IntegratedTime: e.Payload.Time, CanonicalizedBody: e.Payload.Body,
		InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: e.Promise},
	}, nil
}
