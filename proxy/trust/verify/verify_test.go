package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/proxy/trust/verify/verifytest"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

// cosigned is an image that cosign signed with a key, in the form of version 2 or 3, and the key.
func cosigned(t testing.TB, bundles bool) (*verifytest.Registry, verify.Image, []keys.Public) {
	t.Helper()
	f := verifytest.Read(t, "testdata/"+map[bool]string{false: "cosign2/key-tag.json",
		true: "cosign3/key-bundle.json"}[bundles])
	public, err := keys.ParsePublic([]byte(f.Key))
	if err != nil {
		t.Fatal(err)
	}
	r, img := f.Registry()
	return r, img, public
}

// What cosign signs passes with its key; with another, under another name and for another image it does not.
func TestCosign(t *testing.T) {
	t.Parallel()
	other, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	for how, bundles := range map[verify.How]bool{verify.ByTag: false, verify.ByBundle: true} {
		source, img, public := cosigned(t, bundles)
		c := verify.Checker{Source: source}
		v, err := c.Check(t.Context(), img, &verify.Policy{Keys: append([]keys.Public{other.Public()}, public...)})
		if err != nil || v.How != how || v.By != public[0].ID() {
			t.Errorf("%s: %+v, %v", how, v, err)
		}
		_, err = c.Check(t.Context(), img, &verify.Policy{Keys: []keys.Public{other.Public()}})
		if !errors.Is(err, verify.ErrRefused) || !strings.Contains(err.Error(), other.Public().ID()) {
			t.Errorf("%s, another key: %v", how, err)
		}
		if bundles {
			continue // which name no repository
		}
		_, err = c.Check(t.Context(), img, &verify.Policy{Keys: public, SignedAs: "registry.test/org/other"})
		if !errors.Is(err, verify.ErrRefused) {
			t.Errorf("%s, another name: %v", how, err)
		}
	}
}

// broken is an upstream that does not answer.
type broken struct{ *verifytest.Registry }

// Referrers fails.
func (broken) Referrers(context.Context, name.Repository, digest.Digest, string) ([]byte, bool, error) {
	return nil, false, &upstream.Error{Kind: upstream.Unavailable}
}

// An upstream that does not answer has not said that there is no signature.
func TestOutage(t *testing.T) {
	t.Parallel()
	source, img, public := cosigned(t, true)
	_, err := (&verify.Checker{Source: broken{source}}).Check(t.Context(), img, &verify.Policy{Keys: public})
	if err == nil || errors.Is(err, verify.ErrRefused) {
		t.Error(err)
	}
}

// tagless is an upstream that does not answer for tags, and all else was imported.
type tagless struct{ *verifytest.Registry }

// Manifest fails for tags.
func (t tagless) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error) {
	if !ref.IsDigest() {
		return client.Manifest{}, &upstream.Error{Kind: upstream.Unavailable}
	}
	return t.Registry.Manifest(ctx, repo, ref)
}

// A bundle that is there counts, whether or not it can be asked for signatures of the other form.
func TestBundleWithoutTag(t *testing.T) {
	t.Parallel()
	source, img, public := cosigned(t, true)
	c := &verify.Checker{Source: tagless{source}}
	if v, err := c.Check(t.Context(), img, &verify.Policy{Keys: public}); err != nil || v.How != verify.ByBundle {
		t.Errorf("%+v, %v", v, err)
	}
	other, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Check(t.Context(), img, &verify.Policy{Keys: []keys.Public{other.Public()}})
	if err == nil || errors.Is(err, verify.ErrRefused) {
		t.Errorf("without the tag's word: %v", err)
	}
}

// A blob that is not what it was named is no payload, even if the signature of its bytes is right.
func TestWrongBlob(t *testing.T) {
	t.Parallel()
	source, img, public := cosigned(t, false)
	for d := range source.Blobs {
		source.Blobs[d] = []byte("something else")
	}
	if v, err := (&verify.Checker{Source: source}).Check(t.Context(), img, &verify.Policy{Keys: public}); err == nil {
		t.Errorf("%+v", v)
	}
}

// Whose signature is missing is said in one line.
func ExamplePolicy_Wants() {
	public, err := keys.ParsePublic([]byte(`-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----`))
	if err != nil {
		fmt.Println(err)
		return
	}
	p := verify.Policy{Keys: public}
	fmt.Println(p.Wants() == "key "+public[0].ID(), len(p.Fingerprint()))
	// Output: true 32
}

// A policy knows those that name some of its signers and nobody else.
func TestNarrower(t *testing.T) {
	t.Parallel()
	var all []keys.Public
	for range 13 {
		k, err := keys.Generate(keys.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k.Public())
	}
	p := verify.Policy{Keys: all[:4], SignedAs: "a/b"}
	for name, c := range map[string]struct {
		of   verify.Policy
		want int
	}{
		"itself":             {p, 4},
		"one key":            {verify.Policy{Keys: all[2:3], SignedAs: "a/b"}, 1},
		"two, turned round":  {verify.Policy{Keys: []keys.Public{all[3], all[0]}, SignedAs: "a/b"}, 2},
		"one that is not":    {verify.Policy{Keys: all[3:5], SignedAs: "a/b"}, 0},
		"another repository": {verify.Policy{Keys: all[2:3]}, 0},
		"more":               {verify.Policy{Keys: all[:5], SignedAs: "a/b"}, 0},
		"nobody":             {verify.Policy{SignedAs: "a/b"}, 0},
	} {
		if got := p.Narrower(c.of.Fingerprint()); len(got) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	many := verify.Policy{Keys: all}
	if got := many.Narrower(many.Fingerprint()); got != nil {
		t.Error("all sets of 13 signers were tried")
	}
}

// What is too large to be looked at is named, with the bound: it may be what was meant.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	for _, bundles := range []bool{false, true} {
		source, img, public := cosigned(t, bundles)
		for ref, raw := range source.Manifests {
			var m ocispec.Manifest
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			for i := range m.Layers {
				m.Layers[i].Size = 5 << 20
			}
			large, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			source.Manifests[ref] = large
		}
		c := verify.Checker{Source: source}
		_, err := c.Check(t.Context(), img, &verify.Policy{Keys: public})
		if !errors.Is(err, verify.ErrRefused) ||
			!strings.Contains(err.Error(), fmt.Sprintf("of at most %d bytes",
				map[bool]int{false: simplesigning.MaxPayload, true: bundle.MaxBundle}[bundles])) {
			t.Errorf("bundles %t: %v", bundles, err)
		}
	}
}
