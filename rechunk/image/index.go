package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Index is an image index or manifest list, with everything in it that this program does not know.
type Index struct {
	doc      fields
	children []json.RawMessage
	parsed   []ocispec.Descriptor
}

// ParseIndex reads an index and checks its descriptors. What has fields of a manifest, or the media type of one, is refused.
// Errors wrap ErrInvalid.
func ParseIndex(raw []byte) (*Index, error) { return parseIndex(raw, MaxDocument, MaxChildren) }

// ParseLayout is ParseIndex for what lists any number of images: the index.json of an OCI image layout, which may hold those
// of many years, and a registry's referrers.
func ParseLayout(raw []byte) (*Index, error) { return parseIndex(raw, MaxLayoutIndex, MaxLayoutIndex) }

func parseIndex(raw []byte, maxBytes, maxChildren int) (*Index, error) {
	if len(raw) > maxBytes {
		return nil, fmt.Errorf("%w: index of %d bytes, at most %d", ErrInvalid, len(raw), maxBytes)
	}
	if err := checkMembers("index", raw, max(MaxMembers, maxBytes/32)); err != nil {
		return nil, err
	}
	doc, err := parseFields("index", raw)
	if err != nil {
		return nil, err
	}
	if doc.has("config") || doc.has("layers") {
		return nil, fmt.Errorf("%w: an index that has a config or layers", ErrInvalid)
	}
	var says string
	if err := json.Unmarshal(orNull(doc.get("mediaType")), &says); err != nil || says != "" && !IsIndex(says) {
		return nil, fmt.Errorf("%w: an index that calls itself %q", ErrInvalid, says)
	}
	if doc.get("manifests") == nil {
		return nil, fmt.Errorf("%w: an index without manifests", ErrInvalid)
	}
	x := &Index{doc: doc}
	if err := json.Unmarshal(doc.get("manifests"), &x.children); err != nil {
		return nil, fmt.Errorf("%w: index manifests: %w", ErrInvalid, err)
	}
	if len(x.children) > maxChildren {
		return nil, fmt.Errorf("%w: index of %d manifests, at most %d", ErrInvalid, len(x.children), maxChildren)
	}
	for _, c := range x.children {
		if _, err := parseFields("index manifest", c); err != nil {
			return nil, err
		}
		var d ocispec.Descriptor
		if err := json.Unmarshal(c, &d); err != nil {
			return nil, fmt.Errorf("%w: index manifest: %w", ErrInvalid, err)
		}
		if err := checkDescriptor("manifest", d); err != nil {
			return nil, err
		}
		x.parsed = append(x.parsed, d)
	}
	return x, nil
}

// edited returns a manifest's descriptor with a change.
func edited(raw json.RawMessage, change func(fields) error) (json.RawMessage, error) {
	child, err := parseFields("index manifest", raw)
	if err != nil {
		return nil, err
	}
	if err := change(child); err != nil {
		return nil, err
	}
	b, err := json.Marshal(child)
	if err != nil {
		return nil, fmt.Errorf("writing an index manifest: %w", err)
	}
	return b, nil
}

// describe makes a descriptor that of a document.
func describe(child fields, doc Document) error {
	for name, v := range map[string]any{"mediaType": doc.MediaType, "digest": doc.Digest, "size": len(doc.Bytes)} {
		if err := child.set(name, v); err != nil {
			return err
		}
	}
	// A copy of the old manifest inside the descriptor, and where else to get it, would contradict the digest.
	child.remove("data")
	child.remove("urls")
	return nil
}

// annotationRefersTo names the manifest that an attestation is about.
const annotationRefersTo = "vnd.docker.reference.digest"

// referTo makes an attestation's descriptor refer to another manifest.
func referTo(child fields, d digest.Digest) error {
	annotations, err := parseFields("index manifest's annotations", orNull(child.get("annotations")))
	if err != nil {
		return err
	}
	if err := annotations.set(annotationRefersTo, d); err != nil {
		return err
	}
	return child.set("annotations", annotations)
}

// Manifests lists all that the index names, in its order: images, attestations, nested indexes.
func (x *Index) Manifests() []ocispec.Descriptor { return slices.Clone(x.parsed) }

// Entries are the descriptors of Manifests as they were written, fields included that this program does not know.
func (x *Index) Entries() []json.RawMessage { return slices.Clone(x.children) }

// WithEntries returns the index with other descriptors in the place of its own. All other fields stay; one without a schema
// version gets it.
func (x *Index) WithEntries(entries []json.RawMessage) (json.RawMessage, error) {
	doc := maps.Clone(x.doc)
	if err := doc.set("manifests", entries); err != nil {
		return nil, err
	}
	if !doc.has("schemaVersion") {
		if err := doc.set("schemaVersion", 2); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("writing an index: %w", err)
	}
	return b, nil
}

// SchemaVersion is what the index gives as its version: 2 in all that follow the specification, 0 where there is none.
func (x *Index) SchemaVersion() (version int) {
	_ = json.Unmarshal(orNull(x.doc.get("schemaVersion")), &version) // what is no number is no version
	return version
}

// Child is a platform image of an index.
type Child struct {
	Digest    digest.Digest
	MediaType string
	Platform  string
}

// Images lists the images for the given platforms ("linux/amd64"), in the order of the index; without platforms, all images.
// What is no image, such as a build attestation or a nested index, is left out.
func (x *Index) Images(platforms []string) []Child {
	var out []Child
	for _, d := range x.parsed {
		if d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != DockerManifest || !imageType(d.ArtifactType) {
			continue
		}
		if _, attestation := d.Annotations["vnd.docker.reference.type"]; attestation || d.Platform == nil ||
			d.Platform.OS == "unknown" {
			continue
		}
		p := PlatformString(*d.Platform)
		if MatchPlatform(platforms, *d.Platform) &&
			!slices.ContainsFunc(out, func(c Child) bool { return c.Digest == d.Digest }) {
			out = append(out, Child{d.Digest, d.MediaType, p})
		}
	}
	return out
}

// imageType reports whether a descriptor's artifact type is an image's: some tools write the type of the config there.
func imageType(artifactType string) bool {
	return artifactType == "" || artifactType == ocispec.MediaTypeImageConfig || artifactType == dockerConfig
}

// Replace returns the index with other manifests in the place of some of its own, by digest. Order and all other fields
// stay, but that attestations of a replaced manifest, as BuildKit attaches them, refer to the one in its place: there
// clients look for them. Since the replacements are OCI manifests, the result is an OCI index.
func (x *Index) Replace(with map[digest.Digest]Document) (Document, error) {
	children := slices.Clone(x.children)
	for i, d := range x.parsed {
		var err error
		if doc, ok := with[d.Digest]; ok {
			children[i], err = edited(x.children[i], func(child fields) error { return describe(child, doc) })
		} else if doc, ok := with[digest.Digest(d.Annotations[annotationRefersTo])]; ok {
			children[i], err = edited(x.children[i], func(child fields) error { return referTo(child, doc.Digest) })
		}
		if err != nil {
			return Document{}, err
		}
	}
	doc := maps.Clone(x.doc)
	if err := doc.set("manifests", children); err != nil {
		return Document{}, err
	}
	if err := doc.set("mediaType", ocispec.MediaTypeImageIndex); err != nil {
		return Document{}, err
	}
	return document(ocispec.MediaTypeImageIndex, doc)
}
