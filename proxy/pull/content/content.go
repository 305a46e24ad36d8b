// Package content has manifests and blobs by digest: from the store, or from the upstream by the one download that all
// who want them share. What the store has damaged is put into quarantine, and fetched or made again.
package content

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/image"
)

// ManifestSource is where manifests come from.
type ManifestSource interface {
	// Manifest returns a verified manifest.
	Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error)
}

// BlobSource is where blobs come from.
type BlobSource interface {
	// StatBlob returns a blob's size without fetching it.
	StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error)
	// Blob streams a blob that verifies itself, and returns its size. size is what the caller expects, -1 for anything.
	Blob(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64, error)
	// BlobRange streams a part of a blob, unverified.
	BlobRange(ctx context.Context, repo name.Repository, d digest.Digest, offset, length int64) (io.ReadCloser, error)
}

// Proofs know what repositories may serve. Without rules of access they may serve all, and nothing is noted.
type Proofs interface {
	// Has reports whether a repository may serve content.
	Has(ctx context.Context, repo name.Repository, d digest.Digest) bool
	// Came notes that verified bytes came through a repository.
	Came(ctx context.Context, repo name.Repository, d digest.Digest)
	// Image notes that all of an image did, or that it was made of one of which all did.
	Image(ctx context.Context, repo name.Repository, manifest digest.Digest, made bool)
}

// Signed are documents that were signed here, or checked. They are not stored by themselves.
type Signed interface {
	// Manifest returns one of a repository that is a manifest and was signed here, or nil.
	Manifest(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
	// Kept returns one that was checked, or nil, for while its upstream does not give it.
	Kept(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
	// Blob returns one of a repository, or nil.
	Blob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error)
}

// Common is what both Manifests and Blobs are made of.
type Common struct {
	Chunks *chunkstore.Store
	// State is Chunks for those who verify what they read, and knows what is done about damage.
	State *state.Store
	Work  *background.Group
	// Leases let one of several replicas fetch a thing; nil says that there are no others.
	Leases *lease.Leases
	Losses *Losses
	Proofs Proofs
	// Signed may be nil: nothing is.
	Signed Signed
	Logger *slog.Logger
}

const (
	// leaseTTL is how long the others wait when a replica dies while it fetches something.
	leaseTTL = 15 * time.Second
	// blobPatience is how long a client's first byte is held back while another replica fetches the blob: less than
	// what stands in front of a proxy commonly waits. A blob that takes longer is fetched by each replica that is asked
	// for it.
	blobPatience = 20 * time.Second
	// manifestPatience is the same for a manifest.
	manifestPatience = 5 * time.Second
)

// BlobsOf lists the config and then the layers of an image; nothing of an index.
func BlobsOf(manifest []byte) []digest.Digest {
	doc, err := image.ReadManifest(manifest)
	if err != nil {
		return nil
	}
	out := []digest.Digest{doc.Config.Digest}
	for _, l := range doc.Layers {
		out = append(out, l.Digest)
	}
	return out
}
