package simplesigning

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
)

const (
	// MaxSignatures bounds the signatures of an image that are looked at.
	MaxSignatures = 32
	maxAnnotation = 64 << 10

	annotationSignature   = "dev.cosignproject.cosign/signature"
	annotationCertificate = "dev.sigstore.cosign/certificate"
	annotationLog         = "dev.sigstore.cosign/bundle"
)

// Signature is one of those in a signature image. What it holds is not checked.
type Signature struct {
	// Payload is the digest of the claim, Size its length in bytes.
	Payload digest.Digest
	Size    int64
	// Bytes are the signature of the payload.
	Bytes []byte
	// Certificate is PEM, and Log a JSON document, of a signature without a key; empty for others.
	Certificate, Log []byte
}

// Read lists the signatures in a signature image's manifest, MaxSignatures at most, and says how many there are in all: what
// is more is left out. Layers that are no payloads do not count. Errors wrap image.ErrInvalid.
func Read(manifest []byte) (out []Signature, all int, err error) {
	doc, err := image.ReadManifest(manifest)
	if err != nil {
		return nil, 0, err
	}
	for _, l := range doc.Layers {
		if l.MediaType != PayloadType || l.Size > MaxPayload {
			continue
		}
		if all++; len(out) == MaxSignatures {
			continue
		}
		s := Signature{Payload: l.Digest, Size: l.Size}
		if s.Bytes, err = base64.StdEncoding.DecodeString(bounded(l.Annotations[annotationSignature])); err != nil {
			continue
		}
		s.Certificate, s.Log = []byte(bounded(l.Annotations[annotationCertificate])),
			[]byte(bounded(l.Annotations[annotationLog]))
		out = append(out, s)
	}
	return out, all, nil
}

func bounded(s string) string {
	if len(s) > maxAnnotation {
		return ""
	}
	return s
}

// Signed is a payload with the signature of one key.
type Signed struct{ Payload, Signature []byte }

// Image is a signature image: what is to be stored of it.
type Image struct {
	Manifest, Config image.Document
	Payloads         []image.Document // each once
}

// Build makes a signature image. The same signatures in the same order give the same bytes.
func Build(signed []Signed) (Image, error) {
	var out Image
	diffIDs, layers := []digest.Digest{}, []ocispec.Descriptor{}
	seen := map[digest.Digest]bool{}
	for _, s := range signed {
		p := image.Document{MediaType: PayloadType, Digest: digest.FromBytes(s.Payload), Bytes: s.Payload}
		if !seen[p.Digest] {
			seen[p.Digest] = true
			out.Payloads = append(out.Payloads, p)
		}
		diffIDs = append(diffIDs, p.Digest)
		layers = append(layers, ocispec.Descriptor{
			MediaType: p.MediaType, Digest: p.Digest, Size: int64(len(p.Bytes)),
			Annotations: map[string]string{annotationSignature: base64.StdEncoding.EncodeToString(s.Signature)},
		})
	}
	var err error
	out.Config, err = document(ocispec.MediaTypeImageConfig, ocispec.Image{
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: diffIDs},
	})
	if err != nil {
		return Image{}, err
	}
	out.Manifest, err = document(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: out.Config.MediaType, Digest: out.Config.Digest,
			Size: int64(len(out.Config.Bytes))},
		Layers: layers,
	})
	return out, err
}

func document(mediaType string, v any) (image.Document, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return image.Document{}, fmt.Errorf("writing a signature image: %w", err)
	}
	return image.Document{MediaType: mediaType, Digest: digest.FromBytes(b), Bytes: b}, nil
}
