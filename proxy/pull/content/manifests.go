package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
	"github.com/strata-oci/strata/rechunk/image"
)

// ManifestOptions are what Manifests are made of; all are needed but for RecordAge.
type ManifestOptions struct {
	Common
	Upstream ManifestSource
	// Records say what stored manifests are, and Repositories what was pulled through.
	Records      *catalog.Table[digest.Digest, catalog.Manifest]
	Repositories *catalog.Table[string, catalog.Repository]
	// RecordAge is how old a record may be that another process may have removed; 0 asks the store.
	RecordAge time.Duration
	Now       func() time.Time
}

// Manifests are manifests and indexes by digest, of images that were made here and of originals. They are safe for
// concurrent use.
type Manifests struct {
	ManifestOptions
	fetches *background.Shared[*registry.Manifest]
	loading chan struct{} // holds a token for each manifest on its way from the store
}

// maxLoading bounds the manifests that come from the store at once: each may take megabytes, and clients ask for as many as
// they like.
const maxLoading = 48

// NewManifests returns the manifests of a store and its upstreams.
func NewManifests(o ManifestOptions) *Manifests {
	return &Manifests{
		ManifestOptions: o, fetches: background.NewShared[*registry.Manifest](o.Work, "manifest"),
		loading: make(chan struct{}, maxLoading),
	}
}

// Get returns exactly the named bytes: a served image that Strata made, or an original.
func (m *Manifests) Get(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	if found, err := m.Stored(ctx, repo, d); found != nil || err != nil {
		return found, err
	}
	if m.Signed != nil {
		if found, err := m.Signed.Manifest(ctx, repo, d); found != nil || err != nil {
			return found, err
		}
	}
	if found := m.artifact(ctx, repo, d); found != nil {
		return found, nil
	}
	found, err := m.fetches.Do(ctx, repo.String()+"@"+d.String(), func(ctx context.Context) (*registry.Manifest, error) {
		return m.fetch(ctx, repo, d)
	})
	if err == nil || ctx.Err() != nil {
		return found, err
	}
	if found := m.unrecorded(ctx, repo, d); found != nil {
		return found, nil
	}
	if m.Signed != nil {
		if found, serr := m.Signed.Kept(ctx, repo, d); found != nil && serr == nil {
			return found, nil
		}
	}
	if upstream.Is(err, upstream.NotFound) {
		m.Losses.Note(repo)
	}
	return nil, err
}

// Stored returns a manifest that is stored with its record and that the repository may serve, or nil.
func (m *Manifests) Stored(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	rec, err := m.Records.GetWithin(ctx, d, m.RecordAge)
	if err != nil || rec == nil {
		return nil, err
	}
	b, err := m.Proven(ctx, repo, d)
	if errors.Is(err, chunkstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &registry.Manifest{
		MediaType: rec.MediaType, Digest: d, Bytes: b, Source: rec.Source, Served: registry.Original,
		Origin: registry.FromStore,
	}
	if rec.Served == catalog.Rechunked {
		out.Served, out.Origin = registry.Rechunked, registry.MadeHere
	}
	return out, nil
}

// fetch gets an original from the upstream and keeps it.
func (m *Manifests) fetch(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	// Another fetch may have ended since the caller looked.
	if found, err := m.Stored(ctx, repo, d); found != nil || err != nil {
		return found, err
	}
	var found *registry.Manifest
	release, finished := m.Leases.Turn(ctx, "manifest "+d.String(), leaseTTL, manifestPatience,
		func(ctx context.Context) bool {
			var err error
			found, err = m.Stored(ctx, repo, d)
			return found != nil && err == nil
		})
	if finished {
		return found, nil
	}
	defer release()
	got, err := m.Upstream.Manifest(ctx, repo, name.Reference(d))
	if err != nil {
		return nil, err
	}
	m.Proofs.Came(ctx, repo, d)
	err = m.keep(ctx, d, got)
	if err == nil {
		err = m.Enlist(ctx, repo)
	}
	if err != nil && ctx.Err() == nil {
		// The client can be served all the same.
		m.Logger.WarnContext(ctx, "manifest could not be stored", "repository", repo.String(), "digest", d.String(), "error",
			err)
	}
	return &registry.Manifest{
		MediaType: got.MediaType, Digest: d, Bytes: got.Bytes, Source: d, Served: registry.Original,
		Origin: registry.FromUpstream,
	}, nil
}

// unrecorded finds a manifest whose record was lost and which the upstream does not give, or nil. What it is, it has to
// say itself.
func (m *Manifests) unrecorded(ctx context.Context, repo name.Repository, d digest.Digest) *registry.Manifest {
	b, err := m.Proven(ctx, repo, d)
	if err != nil {
		return nil
	}
	says, _ := oci.Shape(b)
	doc, err := oci.Parse(says, b)
	if err != nil || !image.IsManifest(says) && !image.IsIndex(says) {
		return nil
	}
	out := &registry.Manifest{MediaType: says, Digest: d, Bytes: b, Origin: registry.FromStore}
	if doc.Manifest == nil {
		return out
	}
	if source := digest.Digest(doc.Manifest.Annotations[image.AnnotationSource]); source.Validate() == nil {
		out.Source, out.Served, out.Origin, out.Claimed = source, registry.Rechunked, registry.MadeHere, true
	}
	return out
}

// artifact finds a delta artifact that was made here, or nil: such a manifest has no record of its own.
func (m *Manifests) artifact(ctx context.Context, repo name.Repository, d digest.Digest) *registry.Manifest {
	b, err := m.Proven(ctx, repo, d)
	if err != nil {
		return nil
	}
	a, err := ocidelta.Parse(b)
	if err != nil {
		return nil
	}
	return &registry.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Digest: d, Bytes: b, Source: a.Target.Digest,
		Claimed: !a.Inert, // what can be run as an image is not shown because it names another
		Served:  registry.Original, Origin: registry.FromStore,
	}
}

// keep stores an original. What is known of it already, through another repository, stays.
func (m *Manifests) keep(ctx context.Context, d digest.Digest, got client.Manifest) error {
	if err := m.put(ctx, d, got.Bytes); err != nil {
		return err
	}
	if rec, err := m.Records.Get(ctx, d); rec != nil || err != nil {
		return err
	}
	return m.Records.Put(ctx, d, &catalog.Manifest{MediaType: got.MediaType, Source: d, Served: catalog.Original})
}

// Proven returns a stored manifest that the repository may serve; to all others it is not found.
func (m *Manifests) Proven(ctx context.Context, repo name.Repository, d digest.Digest) ([]byte, error) {
	if !m.Proofs.Has(ctx, repo, d) {
		return nil, fmt.Errorf("%s was not proven to have %s: %w", repo, d, chunkstore.ErrNotFound)
	}
	return m.Bytes(ctx, d)
}

// Bytes returns a stored manifest. One that is damaged is put aside and counts as not found, so that it is fetched or
// made again.
func (m *Manifests) Bytes(ctx context.Context, d digest.Digest) ([]byte, error) {
	select {
	case m.loading <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	b, err := m.Chunks.Get(ctx, d, image.MaxDocument)
	<-m.loading
	if errors.Is(err, chunkstore.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", chunkstore.ErrNotFound, err) // a layer, perhaps, and no manifest
	}
	if !errors.Is(err, chunkstore.ErrCorrupt) {
		return b, err
	}
	if err := m.State.Quarantine(ctx, d, err); err != nil {
		return nil, err
	}
	return nil, chunkstore.ErrNotFound
}

// Store keeps an index that was made for a repository, with what is to be known of it.
func (m *Manifests) Store(ctx context.Context, repo name.Repository, d digest.Digest, b []byte, rec catalog.Manifest) error {
	if err := m.put(ctx, d, b); err != nil {
		return err
	}
	m.Proofs.Image(ctx, repo, d, true)
	return m.Records.Put(ctx, d, &rec)
}

func (m *Manifests) put(ctx context.Context, d digest.Digest, b []byte) error {
	if d.Algorithm() == digest.SHA256 {
		_, err := m.Chunks.Put(ctx, b)
		return err
	}
	return m.Chunks.PutFrom(ctx, chunkstore.Expected{Digest: d, Size: int64(len(b))}, bytes.NewReader(b))
}

// Enlist notes that a repository was pulled through.
func (m *Manifests) Enlist(ctx context.Context, repo name.Repository) error {
	if rec, err := m.Repositories.Get(ctx, repo.String()); rec != nil || err != nil {
		return err
	}
	return m.Repositories.Put(ctx, repo.String(), &catalog.Repository{Since: m.Now().UTC()})
}

// Made notes what an image that the engine stored was made of, so that it can be asked for by digest.
func (m *Manifests) Made(ctx context.Context, repo name.Repository, made image.Document, source digest.Digest) error {
	m.Proofs.Image(ctx, repo, made.Digest, true)
	rec := &catalog.Manifest{MediaType: made.MediaType, Source: source, Served: catalog.Rechunked}
	return m.Records.Put(ctx, made.Digest, rec)
}

// Whole reports whether the store has all that was made for a manifest. Originals can be fetched again.
func (m *Manifests) Whole(ctx context.Context, mediaType string, manifest []byte) bool {
	if !image.IsIndex(mediaType) {
		return m.hasBlobs(ctx, manifest)
	}
	idx, err := image.ParseIndex(manifest)
	if err != nil {
		return false
	}
	for _, child := range idx.Images(nil) {
		rec, err := m.Records.Get(ctx, child.Digest)
		if err != nil {
			return false
		}
		if rec == nil || rec.Served != catalog.Rechunked {
			continue
		}
		b, err := m.Bytes(ctx, child.Digest)
		if err != nil || !m.hasBlobs(ctx, b) {
			return false
		}
	}
	return true
}

// hasBlobs reports whether config and layers of an image are stored.
func (m *Manifests) hasBlobs(ctx context.Context, manifest []byte) bool {
	for _, d := range BlobsOf(manifest) {
		if _, err := m.Chunks.Stat(ctx, d); err != nil {
			return false
		}
	}
	return true
}
