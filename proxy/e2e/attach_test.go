package e2e

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keyless/keylesstest"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// signature is one as cosign 2 attaches it: a payload, and a layer's annotations about it.
type signature struct {
	payload     []byte
	annotations map[string]string
}

// cosignPayload is what cosign signs of an image.
func cosignPayload(tb testing.TB, reference string, of digest.Digest) []byte {
	tb.Helper()
	b, err := simplesigning.Payload(simplesigning.Claim{Reference: reference, Digest: of})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// signature signs a payload, whatever that says.
func (k keyPair) signature(tb testing.TB, payload []byte) signature {
	tb.Helper()
	b, err := k.Sign(payload)
	if err != nil {
		tb.Fatal(err)
	}
	return signature{payload, map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(b),
	}}
}

// keyless is a signature with a certificate and an entry of a log.
func keyless(payload []byte, s simplesigning.Signature) signature {
	annotations := map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(s.Bytes),
		"dev.sigstore.cosign/certificate":    string(s.Certificate),
	}
	if len(s.Log) > 0 {
		annotations["dev.sigstore.cosign/bundle"] = string(s.Log)
	}
	return signature{payload, annotations}
}

// attach stores signatures under the tag that belongs to a digest.
func (u *upstream) attach(repository string, at digest.Digest, signatures ...signature) {
	u.tb.Helper()
	config := ocispec.Image{RootFS: ocispec.RootFS{Type: "layers"}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, s := range signatures {
		d := u.blob(repository, simplesigning.PayloadType, s.payload)
		d.Annotations = s.annotations
		m.Layers = append(m.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d.Digest)
	}
	m.Config = u.blob(repository, ocispec.MediaTypeImageConfig, marshal(u.tb, "", config).raw)
	u.put(repository+":"+simplesigning.Tag(at), marshal(u.tb, m.MediaType, m))
}

// cosignTag signs an image of the upstream under its logical name, as cosign 2 does, and stores the signature beside it.
func (u *upstream) cosignTag(repository string, of digest.Digest, by keyPair) {
	u.tb.Helper()
	u.attach(repository, of, by.signature(u.tb, cosignPayload(u.tb, upstreamHost+"/"+repository, of)))
}

// refer makes a bundle refer to a manifest, by the tag that stands in for the API for referrers.
func (u *upstream) refer(repository string, to document, raw []byte) {
	u.tb.Helper()
	a, err := bundle.Attach(to.descriptor(), raw, bundle.Signed)
	if err != nil {
		u.tb.Fatal(err)
	}
	u.blob(repository, a.Bundle.MediaType, a.Bundle.Bytes)
	u.blob(repository, a.Config.MediaType, a.Config.Bytes)
	m := document{a.Manifest.MediaType, a.Manifest.Bytes}
	u.put(repository+"@"+m.digest().String(), m)
	d := to.digest()
	u.put(repository+":"+d.Algorithm().String()+"-"+d.Encoded(), marshal(u.tb, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{m.descriptor()},
	}))
}

// forgery is a repository of the upstream with an image and an index of it, and those who sign it, rightly or not.
type forgery struct {
	*upstream
	repository       string
	image, index     document
	right, wrong     keyPair
	authority, other keylesstest.Authority
}

func (f *forgery) name() string { return upstreamHost + "/" + f.repository }

// payload is the right one for the image.
func (f *forgery) payload() []byte { return cosignPayload(f.tb, f.name(), f.image.digest()) }

// attaches puts signatures of payloads by the right key beside the image.
func (f *forgery) attaches(payloads ...[]byte) {
	f.tb.Helper()
	var all []signature
	for _, p := range payloads {
		all = append(all, f.right.signature(f.tb, p))
	}
	f.attach(f.repository, f.image.digest(), all...)
}

// changed puts the right signature beside the image after a change of its bytes.
func (f *forgery) changed(change func([]byte) []byte) {
	f.tb.Helper()
	s := f.right.signature(f.tb, f.payload())
	b, err := base64.StdEncoding.DecodeString(s.annotations["dev.cosignproject.cosign/signature"])
	if err != nil {
		f.tb.Fatal(err)
	}
	s.annotations["dev.cosignproject.cosign/signature"] = base64.StdEncoding.EncodeToString(change(b))
	f.attach(f.repository, f.image.digest(), s)
}

// bundles makes a key's bundle refer to the image: a statement about a digest.
func (f *forgery) bundles(by keyPair, about digest.Digest, predicate string) {
	f.tb.Helper()
	raw, err := bundle.Sign(by.Private, bundle.Statement{
		Subjects: []digest.Digest{about}, Type: predicate, Predicate: []byte("{}"),
	})
	if err != nil {
		f.tb.Fatal(err)
	}
	f.refer(f.repository, f.image, raw)
}

// certified puts a signature with a certificate beside the image, after a change of it.
func (f *forgery) certified(by keylesstest.Authority, after time.Duration, change func(*simplesigning.Signature)) {
	f.tb.Helper()
	p := f.payload()
	s := by.Payload(f.tb, p, after)
	if change != nil {
		change(&s)
	}
	f.attach(f.repository, f.image.digest(), keyless(p, s))
}
