// Package airgap carries images to where no registry is: Export writes an image with its signatures and attestations into
// one file, an OCI image layout in a tar that skopeo, podman and bootc read; Import puts all of such a file into a proxy's
// store, which then serves it under its names. docs/formats.md describes the file.
package airgap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/oci"
)

// AnnotationPartial marks an entry some of whose blobs were left out, because the other side has them.
const AnnotationPartial = "io.github.strata-oci.partial"

// AnnotationMissing marks the entries of a file that lacks something about its images which could not be had.
const AnnotationMissing = "io.github.strata-oci.missing"

// AnnotationOrigin marks an entry that proves what an image or an index of the file was made of, and AnnotationDelta one
// that says how an image of the file is made of an older one. Their value is the image's digest.
const (
	AnnotationOrigin = "io.github.strata-oci.origin"
	AnnotationDelta  = "io.github.strata-oci.delta"
)

// Limits of a file and of what is exported into one.
const (
	maxDocuments     = 4096
	maxDocumentBytes = 256 << 20
	maxArtifacts     = 512 // signatures, attestations and the like of one image
	maxDepth         = 4   // artifacts about artifacts, indexes in indexes
)

// ErrTooLarge says that a limit is exceeded, which the message names.
var ErrTooLarge = errors.New("too large")

// Entry is one of index.json.
type Entry struct {
	// Name is the reference that it is served under, "host/path:tag" or "host/path@digest"; "" for what is served by digest
	// alone, such as a bundle.
	Name   string        `json:"name,omitempty"`
	Digest digest.Digest `json:"digest"`
	Type   string        `json:"media_type"`
}

// Report is what was carried.
type Report struct {
	Entries []Entry `json:"entries"`
	// Missing are signatures, attestations and the like that could not be had, so that they are not in the file.
	Missing []Missing `json:"missing,omitempty"`
	// Origins are images and indexes that a Strata made, with what they were proven to be made of.
	Origins []Origin `json:"origins,omitempty"`
	// Blobs and Bytes are those in the file, manifests included; Left are the bytes that were left out, or found there.
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
	Left  int64 `json:"left_bytes"`
}

// Missing is something about an image that is not in a file.
type Missing struct {
	// What is a tag, or a digest, and Why says in a line why it is not there.
	What string `json:"what"`
	Why  string `json:"why"`
}

// Origin says what an image or an index was made of.
type Origin struct {
	Digest digest.Digest `json:"digest"`
	Source digest.Digest `json:"source_digest"`
	// Unproven says why the file does not prove it; empty where it does.
	Unproven string `json:"unproven,omitempty"`
}

// Deltas make images of other images.
type Deltas interface {
	// Make makes the artifact that leads from one image to another. Its blobs go to the sink, its manifest is returned.
	Make(ctx context.Context, old, next imageref.Source, sink imagedelta.Sink) (artifact []byte, err error)
	// Apply makes the image that an artifact leads to. What was made goes to the sink, the manifest is the caller's.
	Apply(ctx context.Context, old imageref.Source, artifact []byte, open imagedelta.Open,
		sink imagedelta.Sink) (*imagedelta.Applied, error)
	// Origin is Make from an image to its source, as proof that the one was made of the other, which CheckOrigin checks.
	Origin(ctx context.Context, served, source imageref.Source, sink imagedelta.Sink) (artifact []byte, err error)
	CheckOrigin(ctx context.Context, served imageref.Source, artifact []byte, open imagedelta.Open) error
}

// document is a manifest or an index with its bytes.
type document struct {
	ocispec.Descriptor
	raw []byte
	doc *oci.Document
}

// documents gathers manifests, each once, within the limits.
type documents struct {
	all   []*document // in the order in which they were met
	seen  map[digest.Digest]*document
	bytes int64
}

func (d *documents) add(desc ocispec.Descriptor, raw []byte) (*document, error) {
	if have := d.seen[desc.Digest]; have != nil {
		return have, nil
	}
	if d.bytes += int64(len(raw)); len(d.all) >= maxDocuments || d.bytes > maxDocumentBytes {
		return nil, fmt.Errorf("%w: more than %d manifests, or %d bytes of them", ErrTooLarge, maxDocuments,
			maxDocumentBytes)
	}
	doc, err := oci.Parse(desc.MediaType, raw)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	out := &document{ocispec.Descriptor{MediaType: doc.MediaType, Digest: desc.Digest, Size: int64(len(raw))}, raw, doc}
	if d.seen == nil {
		d.seen = map[digest.Digest]*document{}
	}
	d.seen[desc.Digest] = out
	d.all = append(d.all, out)
	return out, nil
}

// back forgets the documents behind the first n, whose bytes were so many.
func (d *documents) back(n int, bytes int64) {
	for _, m := range d.all[n:] {
		delete(d.seen, m.Digest)
	}
	d.all, d.bytes = d.all[:n], bytes
}

// blobs lists the configs and layers of all manifests, each once. Layers that lie elsewhere (urls) are not among them.
func (d *documents) blobs() []ocispec.Descriptor {
	var out []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	for _, m := range d.all {
		if m.doc.Manifest == nil {
			continue
		}
		for _, b := range append([]ocispec.Descriptor{m.doc.Manifest.Config}, m.doc.Manifest.Layers...) {
			if !seen[b.Digest] && len(b.URLs) == 0 && b.Digest != "" {
				seen[b.Digest] = true
				out = append(out, b)
			}
		}
	}
	return out
}

// fetcher reads documents by digest.
type fetcher func(ctx context.Context, d ocispec.Descriptor) ([]byte, error)

// tree adds a manifest, and of an index all that it lists.
func (d *documents) tree(ctx context.Context, desc ocispec.Descriptor, raw []byte, fetch fetcher, depth int) (*document,
	error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: indexes nest more than %d deep", ErrTooLarge, maxDepth)
	}
	known := d.seen[desc.Digest] != nil
	m, err := d.add(desc, raw)
	if err != nil || known || m.doc.Index == nil {
		return m, err
	}
	for _, child := range m.doc.Index.Manifests() {
		if d.seen[child.Digest] != nil {
			continue
		}
		raw, err := fetch(ctx, child)
		if err != nil {
			return nil, fmt.Errorf("manifest %s of the index %s: %w", child.Digest, desc.Digest, err)
		}
		if _, err := d.tree(ctx, child, raw, fetch, depth+1); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// closing joins the error of closing what was only read.
func closing(err error, c io.Closer) error { return errors.Join(err, c.Close()) }

// nameOf is the name that an image is served under, given how it was pulled: a proxy's name in front of a registry's is left
// out.
func nameOf(reference string) string {
	first, rest, _ := strings.Cut(reference, "/")
	second, _, more := strings.Cut(rest, "/")
	if more && strings.ContainsAny(first, ".:") && strings.Contains(second, ".") {
		return rest
	}
	return reference
}
