package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/trust/keyless"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/proxy/trust/verify/verifytest"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

var repo = nametest.Repository("registry.test/org/os")

// registry is an upstream in memory.
type registry struct {
	manifests map[name.Reference][]byte // by tag and digest
	referrers []byte
	blobs     map[digest.Digest][]byte
}

// Manifest implements verify.Source, and so do the next two.
func (r *registry) Manifest(_ context.Context, _ name.Repository, ref name.Reference) (client.Manifest, error) {
	b, ok := r.manifests[ref]
	if !ok {
		return client.Manifest{}, &upstream.Error{Kind: upstream.NotFound}
	}
	return client.Manifest{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(b), Bytes: b}, nil
}

// Referrers lists what there is.
func (r *registry) Referrers(context.Context, name.Repository, digest.Digest, string) ([]byte, bool, error) {
	if r.referrers == nil {
		return nil, false, &upstream.Error{Kind: upstream.NotFound}
	}
	return r.referrers, false, nil
}

// Blob opens a blob.
func (r *registry) Blob(_ context.Context, _ name.Repository, d digest.Digest, _ int64) (io.ReadCloser, int64, error) {
	b, ok := r.blobs[d]
	if !ok {
		return nil, 0, &upstream.Error{Kind: upstream.NotFound}
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

// fixture is what real cosign made, a file below testdata.
func fixture(t testing.TB, file string) verifytest.Fixture {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var f verifytest.Fixture
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// fixtureSource is the registry with a fixture, and its image.
func fixtureSource(f verifytest.Fixture) (*registry, verify.Image) {
	raw := []byte(f.Image)
	img := verify.Image{
		Repository: repo, MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Bytes: raw,
	}
	r := &registry{manifests: map[name.Reference][]byte{}, blobs: map[digest.Digest][]byte{}, referrers: []byte(f.Referrers)}
	for ref, m := range f.Manifests {
		r.manifests[name.Reference(ref)] = []byte(m)
	}
	for d, b := range f.Blobs {
		r.blobs[digest.Digest(d)] = []byte(b)
	}
	return r, img
}

// cosigned is an image that cosign signed with a key, in the form of version 2 or 3, and the key.
func cosigned(t testing.TB, bundles bool) (*registry, verify.Image, []keys.Public) {
	t.Helper()
	f := fixture(t, map[bool]string{false: "cosign2/key-tag.json", true: "cosign3/key-bundle.json"}[bundles])
	public, err := keys.ParsePublic([]byte(f.Key))
	if err != nil {
		t.Fatal(err)
	}
	r, img := fixtureSource(f)
	return r, img, public
}

// Everything that real cosign 2 and 3 made: what a key or an identity signed passes for them and no other, what was attested
// alone does not.
func TestFixtures(t *testing.T) {
	t.Parallel()
	other, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/cosign*/*.json")
	if err != nil || len(files) != 12 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	readme, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f := fixture(t, strings.TrimPrefix(file, "testdata/"))
		if !strings.Contains(string(readme), f.Command) {
			t.Errorf("%s: README.md does not name %s", file, f.Command)
		}
		source, img := fixtureSource(f)
		right, wrong := policies(t, f, other.Public())
		c := verify.Checker{Source: source}
		v, err := c.Check(t.Context(), img, right)
		how := verify.ByTag
		if strings.HasSuffix(file, "bundle.json") {
			how = verify.ByBundle
		}
		switch {
		case strings.Contains(file, "/attest-"):
			if !errors.Is(err, verify.ErrRefused) {
				t.Errorf("%s: %+v, %v", file, v, err)
			}
		case err != nil || v.How != how:
			t.Errorf("%s: %+v, %v", file, v, err)
		}
		if _, err := c.Check(t.Context(), img, wrong); !errors.Is(err, verify.ErrRefused) ||
			!strings.Contains(err.Error(), wrong.Wants()) {
			t.Errorf("%s, for another: %v", file, err)
		}
	}
}

// policies are the one for a fixture's key or identity, and one for others.
func policies(t *testing.T, f verifytest.Fixture, other keys.Public) (right, wrong *verify.Policy) {
	t.Helper()
	if f.Key != "" {
		public, err := keys.ParsePublic([]byte(f.Key))
		if err != nil {
			t.Fatal(err)
		}
		return &verify.Policy{Keys: public}, &verify.Policy{Keys: []keys.Public{other}}
	}
	identity := func(who string) *verify.Policy {
		v, err := keyless.New(f.Root, keyless.Rules{Issuer: f.Issuer, Identity: who})
		if err != nil {
			t.Fatal(err)
		}
		return &verify.Policy{Keyless: v}
	}
	return identity(f.Identity), identity("robot@evil.test")
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
type broken struct{ *registry }

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
type tagless struct{ *registry }

// Manifest fails for tags.
func (t tagless) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error) {
	if !ref.IsDigest() {
		return client.Manifest{}, &upstream.Error{Kind: upstream.Unavailable}
	}
	return t.registry.Manifest(ctx, repo, ref)
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
	for d := range source.blobs {
		source.blobs[d] = []byte("something else")
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
