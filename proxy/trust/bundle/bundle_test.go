package bundle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
)

var subject = digest.FromString("an image")

func signed(t testing.TB, kind keys.Kind) (keys.Private, []byte) {
	t.Helper()
	k, err := keys.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := bundle.Sign(k, bundle.Statement{
		Subjects: []digest.Digest{subject}, Type: bundle.Signed, Predicate: json.RawMessage("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return k, raw
}

// A bundle is checked by the key that made it, of every kind, and by no other; a change of what it says breaks it.
func TestSign(t *testing.T) {
	t.Parallel()
	other, _ := signed(t, keys.P256)
	for _, kind := range keys.Kinds() {
		k, raw := signed(t, kind)
		b, err := bundle.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Verify(k.Public(), nil)
		if err != nil || !s.About(subject) || s.About(digest.FromString("another")) || s.Type != bundle.Signed {
			t.Errorf("%s: %v, %v", kind, s, err)
		}
		if _, err := b.Verify(other.Public(), nil); !errors.Is(err, keys.ErrSignature) {
			t.Errorf("%s: another key: %v", kind, err)
		}
		b, err = bundle.Parse([]byte(strings.Replace(string(raw), `"payload":"eyJfd`, `"payload":"eyJgd`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Verify(k.Public(), nil); err == nil {
			t.Errorf("%s: another statement passes", kind)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	_, raw := signed(t, keys.Ed25519)
	for name, b := range map[string]string{
		"empty": "", "no media type": "{}", "long": string(raw) + strings.Repeat(" ", bundle.MaxBundle),
		"nothing":        `{"mediaType":"` + bundle.MediaType + `"}`,
		"two signatures": strings.Replace(string(raw), `"signatures":[`, `"signatures":[{"sig":"AA=="},`, 1),
		"both":           strings.Replace(string(raw), `"dsseEnvelope"`, `"messageSignature":{},"dsseEnvelope"`, 1),
	} {
		if _, err := bundle.Parse([]byte(b)); !errors.Is(err, bundle.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A bundle becomes a referrer, in which it is found again.
func TestAttach(t *testing.T) {
	t.Parallel()
	_, raw := signed(t, keys.P256)
	a, err := bundle.Attach(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 8}, raw,
		bundle.Signed)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := bundle.Layers(a.Manifest.Bytes)
	if err != nil || len(layers) != 1 || layers[0].Digest != digest.FromBytes(raw) {
		t.Errorf("%v, %v", layers, err)
	}
}

func FuzzParse(f *testing.F) {
	k, raw := signed(f, keys.P256)
	f.Add(raw)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle+json;version=0.1","messageSignature":{"messageDigest":{}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := bundle.Parse(in)
		if err != nil {
			return
		}
		s, err := b.Verify(k.Public(), in)
		if err == nil && (s == nil || !s.About(subject)) {
			t.Errorf("%q passes", in)
		}
	})
}

// An image is signed, and the bundle says of which image that holds.
func ExampleSign() {
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	image := digest.FromString("a manifest")
	raw, err := bundle.Sign(key, bundle.Statement{
		Subjects: []digest.Digest{image}, Type: bundle.Signed, Predicate: json.RawMessage("{}"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := bundle.Parse(raw)
	if err != nil {
		fmt.Println(err)
		return
	}
	statement, err := b.Verify(key.Public(), nil)
	fmt.Println(statement.About(image), statement.Type, err)
	// Output: true https://sigstore.dev/cosign/sign/v1 <nil>
}
