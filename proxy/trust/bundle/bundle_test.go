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
		"nothing":              `{"mediaType":"` + bundle.MediaType + `"}`,
		"two signatures":       strings.Replace(string(raw), `"signatures":[`, `"signatures":[{"sig":"AA=="},`, 1),
		"media type twice":     strings.Replace(string(raw), `{"mediaType"`, `{"mediaType":"x","mediaType"`, 1),
		"envelope twice":       strings.Replace(string(raw), `"dsseEnvelope"`, `"dsseEnvelope":{},"dsseEnvelope"`, 1),
		"envelope in capitals": strings.Replace(string(raw), `"dsseEnvelope"`, `"DSSEEnvelope"`, 1),
		"payload in capitals":  strings.Replace(string(raw), `"payload"`, `"Payload":"AA==","payload"`, 1),
		"unknown":              strings.Replace(string(raw), `"dsseEnvelope"`, `"dsse_envelope":{},"dsseEnvelope"`, 1),
		"unknown inside":       strings.Replace(string(raw), `"payloadType"`, `"cert":"x","payloadType"`, 1),
		"key and certificate": strings.Replace(string(raw), `"publicKey"`, `"certificate":{"rawBytes":"AA=="},"publicKey"`,
			1),
		"neither": strings.Replace(string(raw), `"publicKey":{`,
			`"tlogEntries":[],"x509CertificateChain":null,"publicKey":{`, 1),
		"a version to come": strings.Replace(string(raw), ".v0.3+json", ".v0.4+json", 1),
		"an older form of it": strings.Replace(string(raw), bundle.MediaType,
			"application/vnd.dev.sigstore.bundle+json;version=0.4", 1),
		"another one behind": string(raw) + string(raw),
		"both":               strings.Replace(string(raw), `"dsseEnvelope"`, `"messageSignature":{},"dsseEnvelope"`, 1),
	} {
		if _, err := bundle.Parse([]byte(b)); !errors.Is(err, bundle.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The three versions that there are, by the names that they have had.
func TestVersions(t *testing.T) {
	t.Parallel()
	key, raw := signed(t, keys.Ed25519)
	for _, version := range []string{"+json;version=0.1", "+json;version=0.2", "+json;version=0.3", ".v0.3+json"} {
		b, err := bundle.Parse([]byte(strings.Replace(string(raw), ".v0.3+json", version, 1)))
		if err != nil {
			t.Errorf("%s: %v", version, err)
			continue
		}
		if _, err := b.Verify(key.Public(), nil); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
}

// A statement is read as other readers of it do, or not at all.
func TestStatementsAreReadStrictly(t *testing.T) {
	t.Parallel()
	k, raw := signed(t, keys.Ed25519)
	b, err := bundle.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	said, err := b.Verify(k.Public(), nil)
	if err != nil || !said.About(subject) {
		t.Fatal(said, err)
	}
	good := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":"` + subject.Encoded() +
		`"},"uri":"x"}],"predicateType":"` + bundle.Signed + `","predicate":{"a":1},"more":2}`
	for what, change := range map[string][2]string{
		"good":                 {"", ""},
		"another type":         {"Statement/v1", "Statement/v2"},
		"subject twice":        {`"subject"`, `"subject":[],"subject"`},
		"subject in capitals":  {`"subject"`, `"Subject":[],"subject"`},
		"digest twice":         {`"digest"`, `"digest":{},"digest"`},
		"hash twice":           {`"sha256"`, `"sha256":"00","sha256"`},
		"no digest":            {`"digest"`, `"hash"`},
		"type twice":           {`"predicateType"`, `"predicateType":"x","predicateType"`},
		"no predicate's type":  {`"predicateType"`, `"predicateKind"`},
		"no subject":           {`"subject"`, `"subjects"`},
		"predicate says twice": {`"a":1`, `"a":1,"a":2`},
		"predicate twice":      {`"predicate":`, `"predicate":{},"predicate":`},
		"another document":     {`"more":2}`, `"more":2}{}`},
		"an empty document":    {good, ``},
		"a list":               {good, `[]`},
	} {
		payload := []byte(strings.Replace(good, change[0], change[1], 1))
		kind := "application/vnd.in-toto+json"
		sig, err := k.Sign(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := json.Marshal(map[string]any{
			"mediaType": bundle.MediaType, "verificationMaterial": map[string]any{"publicKey": map[string]any{}},
			"dsseEnvelope": map[string]any{"payload": payload, "payloadType": kind,
				"signatures": []any{map[string]any{"sig": sig}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Verify(k.Public(), nil)
		if what == "good" && (err != nil || !s.About(subject)) || what != "good" && !errors.Is(err, bundle.ErrInvalid) {
			t.Errorf("%s: %v, %v", what, s, err)
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
	layers, _, err := bundle.Layers(a.Manifest.Bytes)
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
