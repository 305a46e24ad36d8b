// Package bundle reads and writes sigstore's bundles, in which cosign 3 keeps signatures and attestations as referrers of an
// image: what was signed, the signature, and what it takes to check it, in one JSON document. docs/formats.md says which
// parts are used; the protocol buffers are sigstore/protobuf-specs'. Bundles with a certificate are checked elsewhere.
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/strict"
)

const (
	// MediaType is that of the bundles that are made, and the artifact type of their manifests.
	MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	// MaxBundle bounds a bundle in bytes.
	MaxBundle = 1 << 20

	family        = "application/vnd.dev.sigstore.bundle"
	statementKind = "application/vnd.in-toto+json"
	sha256Name    = "SHA2_256"
)

var (
	// ErrInvalid marks what is no bundle, or one that can be taken for two things.
	ErrInvalid = errors.New("invalid bundle")
	// ErrKeyless says that a bundle was signed with a certificate, so that no key checks it.
	ErrKeyless = errors.New("the bundle was signed with a certificate")
)

// Is reports whether a media type or an artifact type is a bundle's, of any version.
func Is(mediaType string) bool { return strings.HasPrefix(mediaType, family) }

// known reports whether a media type is that of a bundle of a version whose meaning is known: 0.1 to 0.3.
func known(mediaType string) bool {
	version, older := strings.CutPrefix(mediaType, family+"+json;version=")
	return mediaType == MediaType || older && (version == "0.1" || version == "0.2" || version == "0.3")
}

// document is a bundle as JSON. One of DSSE and Message is there, and one of the three ways to say who signed.
type document struct {
	_         struct{}  `strict:"closed"`
	MediaType string    `json:"mediaType" strict:"required"`
	Material  material  `json:"verificationMaterial" strict:"required"`
	DSSE      *envelope `json:"dsseEnvelope,omitempty"`
	Message   *message  `json:"messageSignature,omitempty"`
}

type material struct {
	_           struct{}        `strict:"closed"`
	PublicKey   *publicKey      `json:"publicKey,omitempty"`
	Certificate json.RawMessage `json:"certificate,omitempty"`
	Chain       json.RawMessage `json:"x509CertificateChain,omitempty"`
	// Log and Times are read with certificates only.
	Log   json.RawMessage `json:"tlogEntries,omitempty"`
	Times json.RawMessage `json:"timestampVerificationData,omitempty"`
}

type publicKey struct {
	_    struct{} `strict:"closed"`
	Hint string   `json:"hint"`
}

type envelope struct {
	_           struct{}    `strict:"closed"`
	Payload     []byte      `json:"payload" strict:"required"`
	PayloadType string      `json:"payloadType" strict:"required"`
	Signatures  []signature `json:"signatures" strict:"required"`
}

type signature struct {
	_     struct{} `strict:"closed"`
	Bytes []byte   `json:"sig" strict:"required"`
	KeyID string   `json:"keyid,omitempty"`
}

type message struct {
	_      struct{} `strict:"closed"`
	Digest struct {
		_         struct{} `strict:"closed"`
		Algorithm string   `json:"algorithm"`
		Digest    []byte   `json:"digest"`
	} `json:"messageDigest"`
	Signature []byte `json:"signature" strict:"required"`
}

// Bundle is a parsed bundle, of which nothing is checked.
type Bundle struct {
	raw []byte
	doc document
}

// Parse reads a bundle. Errors wrap ErrInvalid.
func Parse(raw []byte) (*Bundle, error) {
	if len(raw) > MaxBundle {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(raw), MaxBundle)
	}
	b := &Bundle{raw: raw}
	if err := strict.Unmarshal(raw, &b.doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	d := &b.doc
	switch {
	case !Is(d.MediaType):
		return nil, fmt.Errorf("%w: its media type is another", ErrInvalid)
	case !known(d.MediaType):
		return nil, fmt.Errorf("%w: its version is not known here, %.100q", ErrInvalid, d.MediaType)
	case !one(d.Material.PublicKey != nil, d.Material.Certificate != nil, d.Material.Chain != nil):
		return nil, fmt.Errorf("%w: it needs a key or a certificate, and not both", ErrInvalid)
	case (d.DSSE == nil) == (d.Message == nil):
		return nil, fmt.Errorf("%w: it needs an envelope or a message's signature", ErrInvalid)
	case d.DSSE != nil && len(d.DSSE.Signatures) != 1:
		return nil, fmt.Errorf("%w: an envelope with %d signatures, 1 is allowed", ErrInvalid, len(d.DSSE.Signatures))
	}
	return b, nil
}

// one reports whether exactly one of several is true.
func one(all ...bool) bool {
	n := 0
	for _, b := range all {
		if b {
			n++
		}
	}
	return n == 1
}

// Raw returns the bundle as it was read.
func (b *Bundle) Raw() []byte { return b.raw }

// Keyless reports whether the bundle was signed with a certificate.
func (b *Bundle) Keyless() bool {
	return b.doc.Material.Certificate != nil || b.doc.Material.Chain != nil
}

// Verify checks the bundle's signature with a key, and returns what was signed: a statement, or nothing for the signature
// of the artifact itself. artifact is what a message's signature would be of. Errors wrap keys.ErrSignature, ErrInvalid or
// ErrKeyless.
func (b *Bundle) Verify(key keys.Public, artifact []byte) (*Statement, error) {
	if b.Keyless() {
		return nil, ErrKeyless
	}
	if m := b.doc.Message; m != nil {
		if sum := sha256.Sum256(artifact); m.Digest.Algorithm == sha256Name && !bytes.Equal(m.Digest.Digest, sum[:]) {
			return nil, fmt.Errorf("%w: it is about another message", ErrInvalid)
		}
		return nil, key.Verify(artifact, m.Signature)
	}
	if err := key.Verify(encoding(b.doc.DSSE.PayloadType, b.doc.DSSE.Payload), b.doc.DSSE.Signatures[0].Bytes); err != nil {
		return nil, err
	}
	return b.Statement()
}

// Statement returns what the envelope holds, nil where there is none. The signature is not checked.
func (b *Bundle) Statement() (*Statement, error) {
	if b.doc.DSSE == nil {
		return nil, nil
	}
	if b.doc.DSSE.PayloadType != statementKind {
		return nil, fmt.Errorf("%w: the envelope holds no statement of in-toto", ErrInvalid)
	}
	return parseStatement(b.doc.DSSE.Payload)
}

// Sign makes a bundle of a statement.
func Sign(key keys.Private, s Statement) ([]byte, error) {
	payload, err := s.marshal()
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(encoding(statementKind, payload))
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(document{
		MediaType: MediaType,
		Material:  material{PublicKey: &publicKey{Hint: hint(key.Public())}},
		DSSE:      &envelope{Payload: payload, PayloadType: statementKind, Signatures: []signature{{Bytes: sig}}},
	})
	if err != nil {
		return nil, fmt.Errorf("writing a bundle: %w", err)
	}
	return raw, nil
}

// encoding is what a signature of an envelope is of: DSSE's pre-authentication encoding.
func encoding(kind string, payload []byte) []byte {
	b := append([]byte("DSSEv1 "), strconv.Itoa(len(kind))...)
	b = append(append(b, ' '), kind...)
	b = append(strconv.AppendInt(append(b, ' '), int64(len(payload)), 10), ' ')
	return append(b, payload...)
}
