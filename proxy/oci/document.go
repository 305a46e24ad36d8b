// Package oci reads manifests and indexes the way a registry has to: whatever artifact they describe, and whoever wrote
// them.
//
// The documents follow the OCI image specification 1.1 and Docker's image manifest version 2, schema 2. They are parsed by
// rechunk/image, whose limits count here, too; this package adds what only a registry asks: which kind a document is, and
// what it leads to.
package oci

import (
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
)

// Document is a parsed manifest or index: one of both, never what could be taken for either.
type Document struct {
	// MediaType is the one that decided how the document was read.
	MediaType string
	// Manifest of an image or another artifact; nil for an index.
	Manifest *ocispec.Manifest
	// Index is nil for a manifest.
	Index *image.Index
}

// Parse reads a document. Its media type decides what it is: the declared one, by a descriptor or a Content-Type, where that
// is one of manifests or indexes, else the one that the document has inside, else its shape. A document that names another
// media type inside, and one that has fields of both kinds (CVE-2021-41190), is refused, as are duplicate fields, impossible
// sizes and digests, and documents beyond image.MaxDocument. Errors wrap image.ErrInvalid.
func Parse(declared string, raw []byte) (*Document, error) {
	if len(raw) > image.MaxDocument {
		return nil, fmt.Errorf("%w: document of %d bytes, at most %d", image.ErrInvalid, len(raw), image.MaxDocument)
	}
	says, shape := Shape(raw)
	d := &Document{MediaType: declared}
	if !image.IsIndex(declared) && !image.IsManifest(declared) {
		d.MediaType = says
	}
	if d.MediaType == "" {
		d.MediaType = shape
	}
	if says != "" && says != d.MediaType {
		return nil, fmt.Errorf("%w: declared as %q it calls itself %q", image.ErrInvalid, d.MediaType, says)
	}
	var err error
	if image.IsIndex(d.MediaType) {
		d.Index, err = image.ParseIndex(raw)
	} else {
		d.Manifest, err = image.ReadManifest(raw)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Shape returns the media type that a document has inside, "" when there is none, and the one that its fields suggest: an
// OCI index's, an OCI manifest's, or "" for what has fields of both or of none.
func Shape(raw []byte) (says, suggests string) {
	var doc struct {
		MediaType string  `json:"mediaType"`
		Manifests present `json:"manifests"`
		Layers    present `json:"layers"`
		Config    present `json:"config"`
	}
	if json.Unmarshal(raw, &doc) != nil {
		return "", ""
	}
	switch {
	case bool(doc.Manifests && !doc.Config && !doc.Layers):
		return doc.MediaType, ocispec.MediaTypeImageIndex
	case bool(doc.Config && !doc.Manifests):
		return doc.MediaType, ocispec.MediaTypeImageManifest
	}
	return doc.MediaType, ""
}

// present tells that a field of a document has a value, without keeping it.
type present bool

// UnmarshalJSON implements json.Unmarshaler.
func (p *present) UnmarshalJSON(value []byte) error {
	*p = string(value) != "null"
	return nil
}

// References are what a document leads to.
type References struct {
	// Blobs are the config and the layers, in this order, that the registry has: each once, however often it is named.
	Blobs []ocispec.Descriptor
	// Config is the config, or nil, and Layers the rest of Blobs.
	Config *ocispec.Descriptor
	Layers []ocispec.Descriptor
	// Foreign are layers with URLs of their own. That they are named says nothing about who has them.
	Foreign []ocispec.Descriptor
	// Manifests are the children of an index: manifests, and indexes again.
	Manifests []ocispec.Descriptor
	// Subject is the manifest that an artifact is about, or nil. Nothing hangs on it: an artifact may outlive its subject.
	Subject *ocispec.Descriptor
}

// References returns what the document leads to.
func (d *Document) References() References {
	var out References
	if d.Index != nil {
		out.Manifests = d.Index.Manifests()
		return out
	}
	out.Subject = d.Manifest.Subject
	seen := map[string]bool{}
	add := func(b ocispec.Descriptor) bool {
		if b.Digest == "" || seen[string(b.Digest)] {
			return false
		}
		seen[string(b.Digest)] = true
		out.Blobs = append(out.Blobs, b)
		return true
	}
	if c := d.Manifest.Config; add(c) {
		out.Config = &c
	}
	for _, l := range d.Manifest.Layers {
		switch {
		case len(l.URLs) > 0:
			out.Foreign = append(out.Foreign, l)
		case add(l):
			out.Layers = append(out.Layers, l)
		}
	}
	return out
}
