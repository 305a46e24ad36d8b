package catalog

import (
	"errors"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/compare"
)

// ArtifactKey names a delta artifact: how to make an image, by its manifest, for who has the image of another. It is written
// "target source format".
type ArtifactKey struct {
	Target, Source digest.Digest
	// Format is that of its layers: "tar-diff-1".
	Format string
}

// String returns the key as it is stored.
func (k ArtifactKey) String() string {
	return k.Target.String() + " " + k.Source.String() + " " + k.Format
}

func parseArtifactKey(s string) (k ArtifactKey, ok bool) {
	target, rest, _ := strings.Cut(s, " ")
	source, format, _ := strings.Cut(rest, " ")
	k = ArtifactKey{digest.Digest(target), digest.Digest(source), format}
	return k, k.Target.Validate() == nil && k.Source.Validate() == nil && format != "" && !strings.Contains(format, " ")
}

// ArtifactsOf lists the delta artifacts that lead to an image.
func ArtifactsOf(target digest.Digest) Prefix[ArtifactKey] {
	return Prefix[ArtifactKey]{target.String() + " "}
}

// Artifact says where a delta artifact is stored.
type Artifact struct {
	// Digest, Size in bytes and Type, an artifact type, are those of its manifest.
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	Type   string        `json:"artifact_type"`
	// Repository, "host/path", is where the target was published.
	Repository string `json:"repository"`
	// At is when it was made.
	At time.Time `json:"at"`
	// Costs is what the update takes.
	Costs compare.Deltas `json:"costs"`
}

// An artifact goes with its target. Its deltas are evicted as others are; then it is not listed any longer.
func artifactKind() kind[ArtifactKey, Artifact] {
	return kind[ArtifactKey, Artifact]{
		name: "artifact", encode: ArtifactKey.String, decode: parseArtifactKey,
		check: func(a *Artifact) error {
			if a.Digest.Validate() != nil || a.Size <= 0 || a.Type == "" {
				return errors.New("it names no artifact")
			}
			return nil
		},
		leads: func(k ArtifactKey, a *Artifact) Leads {
			return Leads{Owner{Manifest: k.Target}, []Target{{Digest: a.Digest, Use: DeltaOf, Image: true}}}
		},
	}
}
