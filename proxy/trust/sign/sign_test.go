package sign_test

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/sign"
)

var subject = sign.Subject{
	Host: "ghcr.io", Path: "ublue-os/bluefin", Source: digest.FromString("source"), Encoder: "zstd",
	Plan:     digest.FromString("plan"),
	Manifest: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("served"), Size: 6},
}

func maker(t testing.TB, kinds ...keys.Kind) *sign.Maker {
	t.Helper()
	m := &sign.Maker{Names: []string{"proxy.test"}, DefaultUpstream: "ghcr.io", Version: "test"}
	for _, kind := range kinds {
		k, err := keys.Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		m.Keys = append(m.Keys, k)
	}
	return m
}

// The same image, keys and names give the same documents, whatever the kind of key; other names and keys others.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	m := maker(t, keys.Kinds()...)
	first, err := m.Sign(subject)
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Sign(subject)
	if err != nil || second.Image.Manifest.Digest != first.Image.Manifest.Digest {
		t.Errorf("%v, %v", second.Image.Manifest.Digest, err)
	}
	if n := len(keys.Kinds()); len(first.Artifacts) != 2*n || len(first.Image.Payloads) != 3 {
		t.Errorf("%d bundles, %d payloads", len(first.Artifacts), len(first.Image.Payloads))
	}
	for i := range first.Artifacts {
		if first.Artifacts[i].Manifest.Digest != second.Artifacts[i].Manifest.Digest {
			t.Errorf("bundle %d differs", i)
		}
	}
	other := *m
	other.Names = nil
	one, another := maker(t, keys.P256), maker(t, keys.P256) // each has a key of its own
	if other.Fingerprint() == m.Fingerprint() || one.Fingerprint() == another.Fingerprint() {
		t.Error("what differs has one fingerprint")
	}
}

// A provenance of another tool is none of ours.
func TestOrigin(t *testing.T) {
	t.Parallel()
	for _, predicate := range []string{"", "[]", "{}", `{"buildDefinition":{"buildType":"x","resolvedDependencies":[{}]}}`} {
		if _, _, err := sign.Origin([]byte(predicate)); err == nil {
			t.Errorf("%s is taken", predicate)
		}
	}
}

func FuzzOrigin(f *testing.F) {
	m := maker(f, keys.Ed25519)
	signed, err := m.Sign(subject)
	if err != nil {
		f.Fatal(err)
	}
	b, err := bundle.Parse(signed.Artifacts[1].Bundle.Bytes)
	if err != nil {
		f.Fatal(err)
	}
	s, err := b.Statement()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(s.Predicate))
	f.Fuzz(func(t *testing.T, predicate []byte) {
		if _, d, err := sign.Origin(predicate); err == nil && d.Validate() != nil {
			t.Errorf("%q names %q", predicate, d)
		}
	})
}

// What a job pays for its signatures, without the store.
func BenchmarkSign(b *testing.B) {
	for _, kind := range keys.Kinds() {
		b.Run(string(kind), func(b *testing.B) {
			m := maker(b, kind)
			for b.Loop() {
				if _, err := m.Sign(subject); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An image that was made here says of what.
func ExampleOrigin() {
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	m := sign.Maker{Keys: []keys.Private{key}}
	signed, err := m.Sign(subject)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range signed.Artifacts {
		b, err := bundle.Parse(a.Bundle.Bytes)
		if err != nil {
			fmt.Println(err)
			return
		}
		said, err := b.Verify(key.Public(), nil)
		if err != nil || said.Type != bundle.Provenance {
			continue
		}
		repository, source, err := sign.Origin(said.Predicate)
		fmt.Println(repository, source == subject.Source, err)
	}
	// Output: ghcr.io/ublue-os/bluefin true <nil>
}
