package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// Types of PEM blocks that hold private keys.
const (
	cosignBlock   = "ENCRYPTED COSIGN PRIVATE KEY"   // cosign before 2.0
	sigstoreBlock = "ENCRYPTED SIGSTORE PRIVATE KEY" // cosign since
	pkcs8Block    = "PRIVATE KEY"
	ecBlock       = "EC PRIVATE KEY"
	rsaBlock      = "RSA PRIVATE KEY"
)

// ErrPassword says that a key cannot be decrypted: the password is another one, or the file is damaged.
var ErrPassword = errors.New("the password does not open this key")

const redacted = "[private key]"

// Private is a key that signs. It shows in no log, message, dump or JSON document. It is safe for concurrent use.
type Private struct {
	signer crypto.Signer
	public Public
}

// Kind is an algorithm that a key is generated for.
type Kind string

// The kinds of keys, by the names that commands use.
const (
	P256    Kind = "ecdsa-p256"
	P384    Kind = "ecdsa-p384"
	Ed25519 Kind = "ed25519"
	RSA     Kind = "rsa-3072"
)

// Kinds lists the kinds; the first is cosign's own and what every client checks.
func Kinds() []Kind { return []Kind{P256, P384, Ed25519, RSA} }

// Generate makes a key.
func Generate(kind Kind) (Private, error) {
	var signer crypto.Signer
	var err error
	switch kind {
	case P256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case RSA:
		signer, err = rsa.GenerateKey(rand.Reader, 3072)
	default:
		return Private{}, fmt.Errorf("%w: %q is no kind of key; there are %v", ErrInvalid, kind, Kinds())
	}
	if err != nil {
		return Private{}, fmt.Errorf("generating a key: %w", err)
	}
	return newPrivate(signer)
}

func newPrivate(key any) (Private, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return Private{}, fmt.Errorf("%w: this kind of key does not sign", ErrInvalid)
	}
	if ec, ok := signer.Public().(*ecdsa.PublicKey); ok && ec.Curve == elliptic.P521() {
		return Private{}, fmt.Errorf("%w: ECDSA P-521 is for checking others' signatures alone; there are %v", ErrInvalid,
			Kinds())
	}
	public, err := NewPublic(signer.Public())
	if err != nil {
		return Private{}, err
	}
	return Private{signer, public}, nil
}

// ParsePrivate reads a private key in PEM: cosign's, encrypted with a password that may be empty, or one that is not
// encrypted, in PKCS #8, SEC 1 or PKCS #1. Errors wrap ErrInvalid or ErrPassword, and hold nothing of the key.
func ParsePrivate(file, password []byte) (Private, error) {
	if len(file) > MaxFile {
		return Private{}, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(file), MaxFile)
	}
	block, rest := pem.Decode(file)
	if block == nil {
		return Private{}, fmt.Errorf("%w: no private key in PEM", ErrInvalid)
	}
	if more, _ := pem.Decode(rest); more != nil {
		return Private{}, fmt.Errorf("%w: more than one block in PEM", ErrInvalid)
	}
	der, kind := block.Bytes, block.Type
	if kind == cosignBlock || kind == sigstoreBlock {
		var err error
		if der, err = encrypted.Decrypt(block.Bytes, password); err != nil {
			return Private{}, ErrPassword // the cause may quote what was in the file
		}
		kind = pkcs8Block
	}
	key, err := parseDER(kind, der)
	if err != nil {
		return Private{}, err
	}
	return newPrivate(key)
}

// parseDER reads an unencrypted key. What the parsers say is left out: they may quote parts of it.
func parseDER(kind string, der []byte) (key any, err error) {
	switch kind {
	case pkcs8Block:
		key, err = x509.ParsePKCS8PrivateKey(der)
	case ecBlock:
		key, err = x509.ParseECPrivateKey(der)
	case rsaBlock:
		key, err = x509.ParsePKCS1PrivateKey(der)
	case publicBlock:
		return nil, fmt.Errorf("%w: it is a public key, and the private one is needed", ErrInvalid)
	default:
		return nil, fmt.Errorf("%w: a %q is not supported; convert it with cosign import-key-pair", ErrInvalid, clean(kind))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the %s in PEM cannot be read", ErrInvalid, kind)
	}
	return key, nil
}

// Public returns the key's public half.
func (k Private) Public() Public { return k.public }

// IsZero reports whether there is no key.
func (k Private) IsZero() bool { return k.signer == nil }

// Sign signs a message as clients check container images and bundles where they know nothing but the key: the SHA-256 with
// ECDSA of either curve and RSA, the message itself with Ed25519. The same message always gets the same signature: RFC 6979
// for ECDSA, PKCS #1 v1.5 for RSA.
func (k Private) Sign(message []byte) ([]byte, error) {
	if k.IsZero() {
		return nil, fmt.Errorf("%w: there is no key", ErrInvalid)
	}
	hash := crypto.SHA256
	if _, pure := k.public.key.(ed25519.PublicKey); pure {
		hash = crypto.Hash(0)
	} else {
		message = digest(hash, message)
	}
	// Without a source of randomness the signature is a function of key and message.
	signature, err := k.signer.Sign(nil, message, hash)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return signature, nil
}

// Encrypt returns the key as a file that cosign reads. The password may be empty.
func (k Private) Encrypt(password []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be written", ErrInvalid)
	}
	box, err := encrypted.Encrypt(der, password)
	if err != nil {
		return nil, fmt.Errorf("encrypting the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: sigstoreBlock, Bytes: box}), nil
}

// String returns a fixed text.
func (k Private) String() string { return redacted }

// Format writes a fixed text for every verb, so that %#v and %x show nothing.
func (k Private) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue returns a fixed text.
func (k Private) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a fixed text.
func (k Private) MarshalText() ([]byte, error) { return []byte(redacted), nil }
