package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/trust/keys"
)

func generate(t testing.TB, kind keys.Kind) keys.Private {
	t.Helper()
	k, err := keys.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Every kind of key signs, the same message the same way, survives its file, and no other key's signatures are taken.
func TestKinds(t *testing.T) {
	t.Parallel()
	message := []byte("a payload")
	other := generate(t, keys.P256)
	for _, kind := range keys.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			k := generate(t, kind)
			for _, password := range []string{"", "secret"} {
				file, err := k.Encrypt([]byte(password))
				if err != nil {
					t.Fatal(err)
				}
				again, err := keys.ParsePrivate(file, []byte(password))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := keys.ParsePrivate(file, []byte("another")); !errors.Is(err, keys.ErrPassword) {
					t.Errorf("another password: %v", err)
				}
				first, err := k.Sign(message)
				if err != nil {
					t.Fatal(err)
				}
				second, err := again.Sign(message)
				if err != nil || !bytes.Equal(first, second) {
					t.Errorf("signatures differ: %x, %x, %v", first, second, err)
				}
				public, err := keys.ParsePublic(again.Public().PEM())
				if err != nil || len(public) != 1 || public[0].ID() != k.Public().ID() {
					t.Fatalf("%v, %v", public, err)
				}
				checkSignature(t, public[0], other.Public(), message, first)
			}
		})
	}
}

// checkSignature checks that a signature is a key's, of a message and no other, and not another key's.
func checkSignature(t *testing.T, by, other keys.Public, message, signature []byte) {
	t.Helper()
	if err := by.Verify(message, signature); err != nil {
		t.Error(err)
	}
	if err := by.Verify([]byte("another"), signature); !errors.Is(err, keys.ErrSignature) {
		t.Errorf("another message: %v", err)
	}
	if err := other.Verify(message, signature); !errors.Is(err, keys.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
}

// What cosign signs with, by default, where that is another function than Strata's: of the SHA-384 with P-384, the
// SHA-512 with P-521, Ed25519ph.
func TestOtherSignatures(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("a payload")
	for name, c := range map[string]struct {
		key  crypto.Signer
		hash crypto.Hash
	}{"P-384": {ec, crypto.SHA384}, "P-521": {large, crypto.SHA512}, "Ed25519ph": {ed, crypto.SHA512}} {
		w := c.hash.New()
		w.Write(message)
		signature, err := c.key.Sign(rand.Reader, w.Sum(nil), c.hash)
		if err != nil {
			t.Fatal(err)
		}
		public, err := keys.NewPublic(c.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		t.Log(name)
		checkSignature(t, public, generate(t, keys.P256).Public(), message, signature)
	}
}

// Keys as openssl writes them.
func TestPlainFiles(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, _ := x509.MarshalECPrivateKey(ec)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(ec)
	for kind, der := range map[string][]byte{"EC PRIVATE KEY": sec1, "PRIVATE KEY": pkcs8} {
		k, err := keys.ParsePrivate(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), nil)
		if err != nil || k.Public().Kind() != "ECDSA P-256" {
			t.Errorf("%s: %v, %v", kind, k.Public().Kind(), err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err)
	}
	smallDER, _ := x509.MarshalPKCS8PrivateKey(small)
	curve, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	curveDER, _ := x509.MarshalPKCS8PrivateKey(curve)
	good := generate(t, keys.P256)
	for name, file := range map[string][]byte{
		"empty": nil, "garbage": []byte("key"), "long": bytes.Repeat([]byte("x"), keys.MaxFile+1),
		"small RSA": block("PRIVATE KEY", smallDER), "P-521": block("PRIVATE KEY", curveDER),
		"public": good.Public().PEM(), "certificate": block("CERTIFICATE", []byte("x")),
		"two": append(block("PRIVATE KEY", smallDER), block("PRIVATE KEY", smallDER)...),
	} {
		if k, err := keys.ParsePrivate(file, nil); !errors.Is(err, keys.ErrInvalid) || !k.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, file := range map[string][]byte{
		"empty": nil, "garbage": []byte("key"), "long": bytes.Repeat([]byte("x"), keys.MaxFile+1),
		"private": block("PRIVATE KEY", curveDER), "damaged": block("PUBLIC KEY", []byte("x")),
		"many": bytes.Repeat(good.Public().PEM(), keys.MaxKeys+1),
	} {
		if _, err := keys.ParsePublic(file); !errors.Is(err, keys.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing shows a private key.
func TestPrivateKeysDoNotShow(t *testing.T) {
	t.Parallel()
	k := generate(t, keys.Ed25519)
	doc, err := json.Marshal(map[string]any{"key": k})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(k), fmt.Sprintf("%#v", k), fmt.Sprintf("%x", k), fmt.Sprintf("%+v", struct{ K keys.Private }{k}),
		string(doc),
	} {
		if !strings.Contains(text, "[private key]") || len(text) > 60 {
			t.Errorf("it shows as %s", text)
		}
	}
}

func TestCredential(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := keys.Credential("cosign"); !errors.Is(err, keys.ErrNoCredential) {
		t.Error(err)
	}
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if path, err := keys.Credential("cosign"); path != filepath.Join(dir, "cosign") || err != nil {
		t.Error(path, err)
	}
	for _, name := range []string{"", "..", "a/b"} {
		if _, err := keys.Credential(name); !errors.Is(err, keys.ErrNoCredential) {
			t.Error(name, err)
		}
	}
	long := filepath.Join(dir, "long")
	if err := os.WriteFile(long, make([]byte, keys.MaxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ReadFile(long); !errors.Is(err, keys.ErrInvalid) {
		t.Error(err)
	}
}

func FuzzParsePrivate(f *testing.F) {
	k, err := keys.Generate(keys.P256)
	if err != nil {
		f.Fatal(err)
	}
	file, err := k.Encrypt(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Public().PEM())
	f.Add(file[:len(file)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := keys.ParsePrivate(b, nil); err == nil {
			if _, err := k.Sign(b); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzParsePublic(f *testing.F) {
	k, err := keys.Generate(keys.Ed25519)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Public().PEM())
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := keys.ParsePublic(b)
		for _, k := range list {
			again, err := keys.ParsePublic(k.PEM())
			if err != nil || again[0].ID() != k.ID() {
				t.Error(err)
			}
		}
		if err != nil && !errors.Is(err, keys.ErrInvalid) {
			t.Error(err)
		}
	})
}

// A key is generated, kept in cosign's format, and read again with its password.
func ExampleGenerate() {
	key, err := keys.Generate(keys.P256)
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := key.Encrypt([]byte("a password"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.SplitN(string(file), "\n", 2)[0])
	again, err := keys.ParsePrivate(file, []byte("a password"))
	fmt.Println(again.Public().ID() == key.Public().ID(), again.Public().Kind(), err)
	// Output:
	// -----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
	// true ECDSA P-256 <nil>
}

// Whoever has the public key can check what was signed.
func ExamplePublic_Verify() {
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	signature, err := key.Sign([]byte("an image"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key.Public().Verify([]byte("an image"), signature))
	fmt.Println(key.Public().Verify([]byte("another image"), signature))
	// Output:
	// <nil>
	// the signature was not made with this key
}
