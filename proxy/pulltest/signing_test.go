package pulltest

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/sign"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/rechunk/image"
)

// signingWith configures keys, each in a file of its own, and images of repositories without verify as signed, too.
func signingWith(t testing.TB, all ...keys.Private) func(*harness) {
	t.Helper()
	var files []string
	for _, k := range all {
		b, err := k.Encrypt([]byte("secret"))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "cosign.key")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return func(h *harness) {
		h.rule.Sign = config.SignUnverified
		h.signing = trust.SigningSettings{DefaultUpstream: testRepo.Host(), Version: "test"}
		h.signing.KeyFile, h.signing.Password = files[0], config.NewSecret("secret")
		h.signing.Names = []string{"proxy.test:5000"}
		if len(files) > 1 {
			h.signing.Next = config.SigningKey{KeyFile: files[1], Password: config.NewSecret("secret")}
		}
	}
}

// claims reads the signatures of an image as clients do, and returns the names that each key signed.
func (h *harness) claims(d digest.Digest, by ...keys.Private) (names []map[string]bool) {
	h.t.Helper()
	m, err := h.Images.Manifest(h.t.Context(), testRepo, name.Reference(simplesigning.Tag(d)))
	if err != nil {
		h.t.Fatalf("signatures of %s: %v", d, err)
	}
	found, _, err := simplesigning.Read(m.Bytes)
	if err != nil {
		h.t.Fatal(err)
	}
	for range by {
		names = append(names, map[string]bool{})
	}
	for _, s := range found {
		p := h.blob(s.Payload)
		claim, err := simplesigning.ParsePayload(p)
		if err != nil || claim.Digest != d {
			h.t.Errorf("a payload says %v, %v", claim, err)
		}
		for i, k := range by {
			if k.Public().Verify(p, s.Bytes) == nil {
				names[i][claim.Reference] = true
			}
		}
	}
	return names
}

// referrers lists what refers to an image.
func (h *harness) referrers(d digest.Digest) []ocispec.Descriptor {
	h.t.Helper()
	list, _, err := h.Lists.Referrers(h.t.Context(), testRepo, d, "")
	if err != nil {
		h.t.Fatal(err)
	}
	idx, err := image.ParseLayout(list)
	if err != nil {
		h.t.Fatal(err)
	}
	return idx.Manifests()
}

// Images and indexes that are made here are signed under all their names, and say of what they were made; what refers to
// the source is found from them.
func TestSigning(t *testing.T) {
	t.Parallel()
	first, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	second, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	upstreams := newSigner(t)
	h := newHarness(t, signingWith(t, first, second), verifying(upstreams.file))
	amd := bootable(t, "amd").push(t, h.up)
	src := pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(amd, "linux/amd64")})
	upstreams.bundled(t, h.up, src, src, bundle.Signed)
	h.up.tag("stable", src)
	m := h.pull("stable", registry.Rechunked)
	idx, err := image.ParseIndex(m.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	made := map[digest.Digest]digest.Digest{m.Digest: src, idx.Images(nil)[0].Digest: amd}
	check := func() {
		t.Helper()
		for d, source := range made {
			for _, names := range h.claims(d, first, second) {
				for _, want := range []string{
					testRepo.String(), "proxy.test:5000/" + testRepo.String(), "proxy.test:5000/" + testRepo.Path(),
				} {
					if !names[want] || len(names) != 3 {
						t.Errorf("%s is not signed as %s, but as %v", d, want, names)
					}
				}
			}
			h.checkBundles(d, source, first)
		}
	}
	check()
	h.awaitJobs()
	before := h.used()
	h.restart()
	check()
	if after := h.used(); after != before {
		t.Errorf("%d bytes after %d: signatures are made anew", after, before)
	}
	if e := h.pullError(simplesigning.Tag(digest.FromString("unknown"))); e.Status != http.StatusNotFound {
		t.Error(e)
	}
	if got, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(simplesigning.Tag(src))); err == nil {
		t.Errorf("the source has a signature: %s", got.Bytes)
	}
}

// checkBundles reads the bundles of an image.
func (h *harness) checkBundles(d, source digest.Digest, by keys.Private) {
	h.t.Helper()
	signed, provenance, upstreams := 0, 0, 0
	for _, r := range h.referrers(d) {
		m, err := h.Images.Manifest(h.t.Context(), testRepo, name.Reference(r.Digest))
		if err != nil {
			h.t.Fatalf("referrer %s: %v", r.Digest, err)
		}
		if r.Annotations[image.AnnotationSource] != "" {
			upstreams++
			continue
		}
		if r.ArtifactType != bundle.MediaType || r.Size != int64(len(m.Bytes)) {
			h.t.Errorf("listed as %+v", r)
		}
		layers, _, err := bundle.Layers(m.Bytes)
		if err != nil {
			h.t.Fatal(err)
		}
		b, err := bundle.Parse(h.blob(layers[0].Digest))
		if err != nil {
			h.t.Fatal(err)
		}
		s, err := b.Verify(by.Public(), nil)
		if err != nil {
			continue // the other key's
		}
		if !s.About(d) {
			h.t.Errorf("a bundle is about %v", s.Subjects)
		}
		switch s.Type {
		case bundle.Signed:
			signed++
		case bundle.Provenance:
			provenance++
			repository, of, err := sign.Origin(s.Predicate)
			if repository != testRepo.String() || of != source || err != nil {
				h.t.Errorf("made of %s@%s, %v", repository, of, err)
			}
		}
	}
	if signed != 1 || provenance != 1 {
		h.t.Errorf("%d signatures and %d provenances of %s", signed, provenance, d)
	}
	if of, err := h.Records.Verdicts.Get(h.t.Context(), verdictKey(source)); err != nil || of.How != "index" &&
		upstreams != 1 {
		h.t.Errorf("%d referrers of the source; %v", upstreams, err)
	}
}

// What is not checked is not signed without a word of the operator, and never what is not to be; other keys sign again.
func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, signingWith(t, k))
	h.rule.Sign = config.SignVerified
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	tag := simplesigning.Tag(h.pull("stable", registry.Rechunked).Digest)
	for _, choice := range []config.Sign{config.SignVerified, config.SignNever} {
		h.rule.Sign = choice
		if e := h.pullError(tag); e.Status != http.StatusNotFound {
			t.Errorf("%s: %v", choice, e)
		}
	}
	h.rule.Sign = config.SignUnverified
	d, _ := simplesigning.Subject(tag)
	if names := h.claims(d, k); len(names[0]) != 3 {
		t.Errorf("signed as %v", names)
	}
	// Names and keys that change are heeded.
	h.signing.Names = nil
	if names := h.claims(d, k); len(names[0]) != 1 {
		t.Errorf("signed as %v", names)
	}
	other, err := keys.Generate(keys.P384)
	if err != nil {
		t.Fatal(err)
	}
	signingWith(t, other)(h)
	if names := h.claims(d, k, other); len(names[0]) != 0 || len(names[1]) != 3 {
		t.Errorf("signed as %v", names)
	}
}

// What cosign 2 attaches to a source is found from the image that was made of it, too, an index or not.
func TestAttachmentsOfTheSource(t *testing.T) {
	t.Parallel()
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	upstreams, h := newSigner(t), newHarness(t, signingWith(t, k))
	amd := bootable(t, "amd").push(t, h.up)
	src := pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(amd, "linux/amd64")})
	h.up.tag("stable", src)
	m := h.pull("stable", registry.Rechunked)
	idx, err := image.ParseIndex(m.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	made := map[digest.Digest]digest.Digest{m.Digest: src, idx.Images(nil)[0].Digest: amd}
	for d, source := range made {
		for _, kind := range []string{".att", ".sbom"} {
			tag := "sha256-" + d.Encoded() + kind
			if e := h.pullError(tag); e.Status != http.StatusNotFound {
				t.Errorf("%s before there is one: %v", tag, e)
			}
		}
		upstreams.sign(t, h.up, source)
		attached := h.up.tags[simplesigning.Tag(source)]
		h.up.tag("sha256-"+source.Encoded()+".att", attached)
		if got := h.pull("sha256-"+d.Encoded()+".att", registry.Original); got.Digest != attached {
			t.Errorf("got %s, want %s", got.Digest, attached)
		}
	}
}

// Signatures of a source pass through; while the upstream is away those that nobody asked for are out of reach, not absent.
func TestArtifactsPass(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, verifying(s.file), signingWith(t, k))
	src := bootable(t, "one").push(t, h.up)
	s.sign(t, h.up, src)
	m := h.pull(simplesigning.Tag(src), registry.Original)
	if want := h.up.tags[simplesigning.Tag(src)]; m.Digest != want {
		t.Errorf("got %s, want %s", m.Digest, want)
	}
	h.pull(m.Digest.String(), registry.Original)
	// An image is none by the company that it keeps.
	layers := `{"mediaType":"` + simplesigning.PayloadType + `","digest":"` + digest.FromString("p").String() +
		`","size":1},` +
		`{"mediaType":"` + ocispec.MediaTypeImageLayerGzip + `","digest":"` + digest.FromString("l").String() + `","size":1}`
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(m.Bytes, &doc); err != nil {
		t.Fatal(err)
	}
	doc["layers"] = json.RawMessage("[" + layers + "]")
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	h.up.tag("dressed", h.up.put(document{ocispec.MediaTypeImageManifest, b}))
	if e := h.pullError("dressed"); e.Status != http.StatusForbidden {
		t.Error(e)
	}
	h.up.failWith("", http.StatusServiceUnavailable)
	for _, tag := range []string{simplesigning.Tag(digest.FromString("other")), "other"} {
		if e := h.pullError(tag); e.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %v", tag, e)
		}
	}
}

// Nothing of a key or its password is in logs, records, content, metrics or errors, however a run goes.
func TestKeyMaterialStays(t *testing.T) {
	t.Parallel()
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	const password = "correct-horse-battery"
	file, err := k.Encrypt([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, func(h *harness) {
		h.rule.Sign = config.SignUnverified
		h.signing.Key, h.signing.Password = config.NewSecret(string(file)), config.NewSecret(password)
	})
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	d := h.pull("stable", registry.Rechunked).Digest
	h.claims(d, k)
	h.signing.Password = config.NewSecret(password + "-wrong")
	e := h.pullError(simplesigning.Tag(d))
	h.signing.Key = config.NewSecret(strings.Replace(string(file), "eyJ", "eyK", 1))
	more := h.pullError(simplesigning.Tag(d))
	left := []string{e.Error(), more.Error(), h.log.String(), h.everything()}
	body := strings.Split(string(file), "\n")
	for _, secret := range append(body[1:len(body)-2], password) {
		for _, text := range left {
			if strings.Contains(text, secret) {
				t.Errorf("%.20s… shows", secret)
			}
		}
	}
	if !strings.Contains(h.log.String(), "password") {
		t.Error("the log does not say what is wrong")
	}
}
