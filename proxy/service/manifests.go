package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// Manifest implements registry.Manifests.
func (s *Service) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	var m *registry.Manifest
	var err error
	if ref.IsDigest() {
		m, err = s.byDigest(ctx, repo, digest.Digest(ref))
	} else {
		m, err = s.byTag(ctx, repo, ref)
	}
	if err == nil {
		s.lastKnown.note(repo, ref, m)
	} else if m = s.fromMemory(ctx, repo, ref, err); m == nil {
		return nil, clientError(err, registry.ManifestUnknown)
	}
	if m.Origin == registry.MadeHere {
		s.madeBlobs.note(m)
	}
	s.tally.Manifest(m.Digest, func() []digest.Digest { return layersMade(m) })
	return m, nil
}

// layersMade lists the layers of an image that was rechunked: only what was planned here is counted.
func layersMade(m *registry.Manifest) []digest.Digest {
	if m.Origin != registry.MadeHere || image.IsIndex(m.MediaType) {
		return nil
	}
	blobs := blobsOf(m.Bytes)
	return blobs[min(1, len(blobs)):] // the config comes first
}

// byDigest returns exactly the named bytes: a served image that Strata made, or an original.
func (s *Service) byDigest(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	if m, err := s.storedManifest(ctx, d); m != nil || err != nil {
		return m, err
	}
	m, err := shared(ctx, s, &s.fetches, repo.String()+"@"+d.String(), func(ctx context.Context) (*registry.Manifest, error) {
		return s.fetchManifest(ctx, repo, d)
	})
	if err == nil || ctx.Err() != nil {
		return m, err
	}
	if found := s.unrecordedManifest(ctx, d); found != nil {
		return found, nil
	}
	if isNotFound(err) {
		s.losses.note(repo, s.Now())
	}
	return nil, err
}

// storedManifest returns a manifest that is stored with its record, or nil.
func (s *Service) storedManifest(ctx context.Context, d digest.Digest) (*registry.Manifest, error) {
	rec, err := s.records.Manifests.GetWithin(ctx, d, s.manifestAge())
	if err != nil || rec == nil {
		return nil, err
	}
	b, err := s.manifestBytes(ctx, d)
	if errors.Is(err, chunkstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &registry.Manifest{MediaType: rec.MediaType, Digest: d, Bytes: b, Source: rec.Source, Served: registry.Served(rec.Served), Origin: registry.FromStore}
	if rec.Served == catalog.Rechunked {
		m.Origin = registry.MadeHere
	}
	return m, nil
}

// fetchManifest gets an original from the upstream and keeps it.
func (s *Service) fetchManifest(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	// Another fetch may have ended since the caller looked.
	if m, err := s.storedManifest(ctx, d); m != nil || err != nil {
		return m, err
	}
	var found *registry.Manifest
	release, finished := s.turn(ctx, "manifest "+d.String(), manifestPatience, func(ctx context.Context) bool {
		m, err := s.storedManifest(ctx, d)
		found = m
		return m != nil && err == nil
	})
	if finished {
		return found, nil
	}
	defer release()
	got, err := s.Upstream.Manifest(ctx, repo, name.Reference(d))
	if err != nil {
		return nil, err
	}
	err = s.storeManifest(ctx, d, got.Bytes, &catalog.Manifest{MediaType: got.MediaType, Source: d, Served: catalog.Original})
	if err == nil {
		err = s.noteRepository(ctx, repo)
	}
	if err != nil && ctx.Err() == nil {
		// The client can be served all the same.
		s.Logger.WarnContext(ctx, "manifest could not be stored", "repository", repo.String(), "digest", d.String(), "error", err)
	}
	return &registry.Manifest{
		MediaType: got.MediaType, Digest: d, Bytes: got.Bytes, Source: d, Served: registry.Original, Origin: registry.FromUpstream,
	}, nil
}

// unrecordedManifest finds a manifest whose record was lost and which the upstream does not give, or nil. What it is, it has to say
// itself.
func (s *Service) unrecordedManifest(ctx context.Context, d digest.Digest) *registry.Manifest {
	b, err := s.manifestBytes(ctx, d)
	if err != nil {
		return nil
	}
	var says struct {
		MediaType   string            `json:"mediaType"`
		Annotations map[string]string `json:"annotations"`
	}
	if json.Unmarshal(b, &says) != nil {
		return nil
	}
	if t := says.MediaType; t != ocispec.MediaTypeImageManifest && t != image.DockerManifest && !image.IsIndex(t) {
		return nil
	}
	m := &registry.Manifest{MediaType: says.MediaType, Digest: d, Bytes: b, Origin: registry.FromStore}
	if source := digest.Digest(says.Annotations[image.AnnotationSource]); source.Validate() == nil {
		m.Source, m.Served, m.Origin = source, registry.Rechunked, registry.MadeHere
	}
	return m
}

// maxManifest bounds manifests, in bytes.
const maxManifest = 4 << 20

// manifestBytes returns a stored manifest. One that is damaged is removed and counts as not found, so that it is fetched or made
// again.
func (s *Service) manifestBytes(ctx context.Context, d digest.Digest) ([]byte, error) {
	b, err := s.Chunks.Get(ctx, d, maxManifest)
	if errors.Is(err, chunkstore.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", chunkstore.ErrNotFound, err) // a layer, perhaps, and no manifest
	}
	if !errors.Is(err, chunkstore.ErrCorrupt) {
		return b, err
	}
	s.Logger.WarnContext(ctx, "stored manifest is damaged and removed", "digest", d.String(), "error", err)
	if err := s.Chunks.Delete(ctx, d); err != nil {
		return nil, err
	}
	return nil, chunkstore.ErrNotFound
}

// storeManifest keeps a manifest with what is to be known of it.
func (s *Service) storeManifest(ctx context.Context, d digest.Digest, b []byte, rec *catalog.Manifest) error {
	if err := s.putContent(ctx, d, b); err != nil {
		return err
	}
	return s.records.Manifests.Put(ctx, d, rec)
}

func (s *Service) putContent(ctx context.Context, d digest.Digest, b []byte) error {
	if d.Algorithm() == digest.SHA256 {
		_, err := s.Chunks.Put(ctx, b)
		return err
	}
	w, err := s.Chunks.Create(ctx)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	if err == nil {
		_, err = w.Commit(ctx, chunkstore.Expected{Digest: d, Size: int64(len(b))})
	}
	return errors.Join(err, w.Cancel(ctx))
}
