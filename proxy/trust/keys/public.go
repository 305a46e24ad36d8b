package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // for P-384, P-521 and Ed25519ph
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/rechunk/legible"
)

// Limits on what is read.
const (
	// MaxFile bounds a key file in bytes.
	MaxFile = 64 << 10
	// MaxKeys bounds the public keys in one file.
	MaxKeys = 16
	// leastRSA and mostRSA bound RSA keys, in bits: below they are broken, above they cost too much to verify.
	leastRSA, mostRSA = 2048, 8192
)

var (
	// ErrInvalid marks what is no key, or one of a kind that is not supported.
	ErrInvalid = errors.New("invalid key")
	// ErrSignature says that a signature was not made with a key.
	ErrSignature = errors.New("the signature was not made with this key")
)

const publicBlock = "PUBLIC KEY"

// Public is a key that signatures are checked with: ECDSA on P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 8192 bits.
type Public struct {
	key crypto.PublicKey
	der []byte // SubjectPublicKeyInfo
}

// NewPublic returns a key of the standard library's types. Errors wrap ErrInvalid.
func NewPublic(key crypto.PublicKey) (Public, error) {
	if err := check(key); err != nil {
		return Public{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Public{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return Public{key, der}, nil
}

// ParsePublic reads the public keys of a PEM file, "PUBLIC KEY" as cosign and openssl write it: at least one and MaxKeys at
// most. Errors wrap ErrInvalid.
func ParsePublic(file []byte) ([]Public, error) {
	if len(file) > MaxFile {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(file), MaxFile)
	}
	var out []Public
	for {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			break
		}
		if block.Type != publicBlock {
			return nil, fmt.Errorf("%w: it holds a %q where a %q belongs", ErrInvalid, clean(block.Type), publicBlock)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		public, err := NewPublic(key)
		if err != nil {
			return nil, err
		}
		if out = append(out, public); len(out) > MaxKeys {
			return nil, fmt.Errorf("%w: more than %d keys in one file", ErrInvalid, MaxKeys)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no %q in PEM", ErrInvalid, publicBlock)
	}
	return out, nil
}

// check refuses keys of other kinds and sizes.
func check(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521() {
			return nil
		}
		return fmt.Errorf("%w: ECDSA on another curve than P-256, P-384 and P-521", ErrInvalid)
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < leastRSA || n > mostRSA {
			return fmt.Errorf("%w: RSA of %d bits; %d to %d are supported", ErrInvalid, n, leastRSA, mostRSA)
		}
		return nil
	}
	return fmt.Errorf("%w: ECDSA, Ed25519 and RSA are supported", ErrInvalid)
}

// ID names the key for people and records: "SHA256:" and the first 32 hex digits of the SHA-256 of its SubjectPublicKeyInfo.
func (p Public) ID() string {
	sum := sha256.Sum256(p.der)
	return "SHA256:" + hex.EncodeToString(sum[:16])
}

// Hint is the key's SubjectPublicKeyInfo hashed, which is by what sigstore's bundles name a key.
func (p Public) Hint() []byte {
	sum := sha256.Sum256(p.der)
	return sum[:]
}

// DER returns the SubjectPublicKeyInfo.
func (p Public) DER() []byte { return append([]byte(nil), p.der...) }

// PEM returns the key as a file that cosign, skopeo and podman read.
func (p Public) PEM() []byte { return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: p.der}) }

// Kind names the algorithm: "ECDSA P-256", "ECDSA P-384", "ECDSA P-521", "Ed25519" or "RSA 3072".
func (p Public) Kind() string {
	switch k := p.key.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	}
	return "Ed25519"
}

// Verify checks a signature of a message: of its SHA-256 for ECDSA (ASN.1) and RSA (PKCS #1 v1.5), of the message itself for
// Ed25519. What cosign makes by default is accepted, too: of the SHA-384 with P-384, of the SHA-512 with P-521, and
// Ed25519ph (RFC 8032), which is of the SHA-512. The error is ErrSignature.
func (p Public) Verify(message, signature []byte) error {
	sum := sha256.Sum256(message)
	ok := false
	switch k := p.key.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, sum[:], signature) ||
			k.Curve == elliptic.P384() && ecdsa.VerifyASN1(k, digest(crypto.SHA384, message), signature) ||
			k.Curve == elliptic.P521() && ecdsa.VerifyASN1(k, digest(crypto.SHA512, message), signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, message, signature) || ed25519.VerifyWithOptions(k, digest(crypto.SHA512, message), signature,
			&ed25519.Options{Hash: crypto.SHA512}) == nil
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], signature) == nil
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

func digest(h crypto.Hash, message []byte) []byte {
	w := h.New()
	w.Write(message)
	return w.Sum(nil)
}

// clean makes a name of foreign text short and printable.
func clean(s string) string { return legible.Clip(s, 40) }
