package imageref

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Limits of what an image's description may be.
const (
	maxManifest   = image.MaxDocument
	maxIndexDepth = image.MaxDepth // indexes within indexes
	maxIndexReads = 32             // documents read to find one image
	maxListed     = 20             // names in an error
)

// manifest is a verified manifest or index.
type manifest struct {
	mediaType string
	raw       []byte
	digest    digest.Digest
}

// Manifest implements Source.
func (m manifest) Manifest() (string, []byte, digest.Digest) { return m.mediaType, m.raw, m.digest }

// identify says what raw is, given what it was declared as by a descriptor or a Content-Type.
func identify(declared string, raw []byte) (manifest, *oci.Document, error) {
	if len(raw) > maxManifest {
		return manifest{}, nil, fmt.Errorf("manifest: %w: more than %d bytes", ErrTooLarge, maxManifest)
	}
	if err := json.Unmarshal(raw, new(json.RawMessage)); err != nil {
		return manifest{}, nil, fmt.Errorf("manifest is not valid JSON: %w", err)
	}
	says, shape := oci.Shape(raw)
	mediaType, _, err := mime.ParseMediaType(declared)
	if err != nil || !known(mediaType) {
		if mediaType = says; says == "" {
			mediaType = declared
		}
	}
	if !known(mediaType) {
		return manifest{}, nil, fmt.Errorf("media type %q is neither an image nor an index", shorten(mediaType, 100))
	}
	doc, err := oci.Parse(mediaType, raw)
	switch {
	case image.IsManifest(mediaType) && (says == "" || says == mediaType) && shape != ocispec.MediaTypeImageManifest:
		return manifest{}, nil, fmt.Errorf("%s lacks a config or lists manifests", mediaType)
	case err != nil:
		return manifest{}, nil, fmt.Errorf("manifest: %w", err)
	}
	if v := schemaVersion(doc); v != 2 {
		return manifest{}, nil, fmt.Errorf("manifest has schema version %d, not 2", v)
	}
	return manifest{mediaType: mediaType, raw: raw, digest: digest.FromBytes(raw)}, doc, nil
}

func known(mediaType string) bool { return image.IsManifest(mediaType) || image.IsIndex(mediaType) }

func schemaVersion(doc *oci.Document) int {
	if doc.Index != nil {
		return doc.Index.SchemaVersion()
	}
	return doc.Manifest.SchemaVersion
}

// resolver finds the image of a platform.
type resolver struct {
	want platform
	// fetch returns a document's bytes, verified against the descriptor.
	fetch func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error)

	reads int
	have  []string // platforms that were met
}

// image returns the wanted image, given what a reference points to: an image, taken as it is, or an index.
func (r *resolver) image(ctx context.Context, declared string, raw []byte) (manifest, error) {
	m, found, err := r.search(ctx, declared, raw, 0)
	if err == nil && !found {
		err = r.missing()
	}
	return m, err
}

// oneOf returns the wanted image among several that one name stands for.
func (r *resolver) oneOf(ctx context.Context, descs []ocispec.Descriptor) (manifest, error) {
	var m manifest
	var found bool
	var err error
	if len(descs) == 1 {
		m, found, err = r.descend(ctx, descs[0], 0)
	} else {
		m, found, err = r.choose(ctx, descs, 0)
	}
	if err == nil && !found {
		err = r.missing()
	}
	return m, err
}

func (r *resolver) search(ctx context.Context, declared string, raw []byte, depth int) (manifest, bool, error) {
	m, doc, err := identify(declared, raw)
	if err != nil {
		return manifest{}, false, err
	}
	if doc.Manifest != nil {
		return m, true, nil
	}
	if depth >= maxIndexDepth {
		return manifest{}, false, fmt.Errorf("%w: indexes nest more than %d deep", ErrTooLarge, maxIndexDepth)
	}
	return r.choose(ctx, doc.Index.Manifests(), depth)
}

// choose looks for the platform among an index's entries, then in the indexes that it nests.
func (r *resolver) choose(ctx context.Context, descs []ocispec.Descriptor, depth int) (manifest, bool, error) {
	if d, ok := r.want.match(descs); ok {
		return r.descend(ctx, d, depth+1)
	}
	for _, d := range descs {
		p, ok := platformOf(d)
		switch {
		case ok:
			r.have = append(r.have, p.String())
		case image.IsIndex(d.MediaType):
			if m, found, err := r.descend(ctx, d, depth+1); found || err != nil {
				return m, found, err
			}
		case len(descs) == 1 && d.Platform == nil:
			return r.descend(ctx, d, depth+1) // the only image, and nobody says for what
		}
	}
	return manifest{}, false, nil
}

func (r *resolver) descend(ctx context.Context, d ocispec.Descriptor, depth int) (manifest, bool, error) {
	if r.reads++; r.reads > maxIndexReads {
		return manifest{}, false, fmt.Errorf("%w: more than %d documents to read for one image", ErrTooLarge, maxIndexReads)
	}
	if err := checkDigest(d.Digest); err != nil {
		return manifest{}, false, err
	}
	if d.Size < 0 || d.Size > maxManifest {
		return manifest{}, false, fmt.Errorf("manifest %s: %w: %d bytes, the limit is %d", d.Digest, ErrTooLarge, d.Size,
			maxManifest)
	}
	raw, err := r.fetch(ctx, d)
	if err != nil {
		return manifest{}, false, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	m, found, err := r.search(ctx, d.MediaType, raw, depth)
	if err != nil {
		return manifest{}, false, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return m, found, nil
}

func (r *resolver) missing() error {
	if len(r.have) == 0 {
		return fmt.Errorf("image for %s %w: the index lists no platforms", r.want, ErrNotFound)
	}
	return fmt.Errorf("image for %s %w: there is %s; choose one as the platform", r.want, ErrNotFound, listed(r.have))
}

// listed joins names for an error: sorted, each once, not too many, and quoted where they could break the line.
func listed(names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	more := len(names) - maxListed
	names = names[:min(len(names), maxListed)]
	for i, n := range names {
		if n = shorten(n, 100); !legible.Plain(n) || strings.Contains(n, " ") || n == "" {
			n = legible.Line(strconv.Quote(n))
		}
		names[i] = n
	}
	out := strings.Join(names, ", ")
	if more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}
