package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk/image"
)

// Referrers implements registry.Referrers: of the upstream's manifests what the upstream says. Of an image that was made
// here and signed, what was signed, and what refers to its source, marked with that: an attestation of the source is about
// the same files, though its subject is another digest. While nothing is signed here, nothing refers to such an image. Of
// both, the delta artifacts that were made here.
func (l *Lists) Referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool,
	error) {
	b, filtered, err := l.referrers(ctx, repo, d, artifactType)
	if l.Artifacts == nil {
		return b, filtered, err
	}
	made, merr := l.Artifacts.Referrers(ctx, repo, d)
	if merr != nil {
		l.Logger.WarnContext(ctx, "delta artifacts could not be listed", "repository", repo.String(), "digest", d.String(),
			"error", merr)
	}
	if len(made) == 0 {
		return b, filtered, err
	}
	if err != nil && !upstream.Absent(err) {
		l.Logger.WarnContext(ctx, "upstream could not be asked, only what was made here is listed", "repository",
			repo.String(), "error", err)
	}
	if err != nil || len(b) == 0 {
		b, filtered = emptyIndex, false
	}
	b, err = extended(b, made, filtered, artifactType)
	return b, filtered, ClientError(err, registry.NameUnknown)
}

// emptyIndex lists nothing.
var emptyIndex = []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`)

// extended adds to a list; of one that was filtered by a type, what is of the type.
func extended(list []byte, more []ocispec.Descriptor, filtered bool, artifactType string) ([]byte, error) {
	idx, err := image.ParseLayout(list)
	if err != nil {
		return nil, fmt.Errorf("the upstream's list of referrers: %w", err)
	}
	entries := idx.Entries()
	for _, d := range more {
		if filtered && d.ArtifactType != artifactType {
			continue
		}
		raw, err := json.Marshal(d)
		if err != nil {
			return nil, err
		}
		entries = append(entries, raw)
	}
	return idx.WithEntries(entries)
}

// referrers is what the upstream says, and what was signed here.
func (l *Lists) referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool,
	error) {
	if l.Signed != nil {
		signed, source, ours, err := l.Signed.Referrers(ctx, repo, d)
		if err != nil {
			return nil, false, ClientError(err, registry.NameUnknown)
		}
		if ours {
			b, err := l.joined(ctx, repo, source, signed)
			return b, false, err
		}
	}
	b, filtered, err := l.upstream(ctx, repo, d, artifactType)
	return b, filtered, ClientError(err, registry.NameUnknown)
}

// upstream is what the upstream says, or has said when it was last asked.
func (l *Lists) upstream(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool,
	error) {
	b, filtered, err := l.Upstream.Referrers(ctx, repo, d, artifactType)
	switch {
	case l.About == nil:
	case unanswered(err):
		if list, known := l.About.Referrers(ctx, repo, d); known {
			return list, false, nil
		}
	case err == nil && !filtered && empty(b):
		l.About.NoteAbsent(ctx, repo, name.TagAbout(d, ""))
	}
	return b, filtered, err
}

// empty reports whether a list lists nothing.
func empty(list []byte) bool {
	idx, err := image.ParseLayout(list)
	return err == nil && len(idx.Entries()) == 0
}

// joined lists what was signed here and what refers to the source. The latter is left out while the upstream does not say.
func (l *Lists) joined(ctx context.Context, repo name.Repository, source digest.Digest, signed []catalog.Referrer) ([]byte,
	error) {
	out := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	for _, r := range signed {
		out.Manifests = append(out.Manifests, ocispec.Descriptor{
			MediaType: r.MediaType, Digest: r.Digest, Size: r.Size, ArtifactType: r.ArtifactType, Annotations: r.Annotations,
		})
	}
	list, _, err := l.upstream(ctx, repo, source, "")
	if err == nil {
		var idx *image.Index
		if idx, err = image.ParseLayout(list); err == nil {
			for _, m := range idx.Manifests() {
				marked := maps.Clone(m.Annotations)
				if marked == nil {
					marked = map[string]string{}
				}
				marked[image.AnnotationSource] = source.String()
				m.Annotations = marked
				out.Manifests = append(out.Manifests, m)
			}
		}
	}
	if err != nil && !upstream.Absent(err) {
		l.Logger.WarnContext(ctx, "what refers to the source could not be listed", "repository", repo.String(), "source",
			source.String(), "error", err)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("listing referrers: %w", err)
	}
	return b, nil
}
