package service

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	// warmTick is how often progress is told.
	warmTick = 250 * time.Millisecond
	// warmDownloads is how many blobs of an image are warmed at once: as many as clients commonly fetch.
	warmDownloads = 3
)

// Warm implements admin.Warmer: it asks the upstream now, whatever refresh says, waits until the new version is made, and sees that
// all of what a client will ask for is in the store.
func (o Operator) Warm(ctx context.Context, ref string, progress func(admin.WarmEvent)) error {
	s := o.s
	repo, reference, err := s.Names.ParseReference(ref)
	if err != nil {
		return err
	}
	stop := s.tellProgress(ctx, ref, repo, reference, progress)
	defer stop()
	m, err := s.warmManifest(ctx, repo, reference)
	if err == nil {
		err = s.warmBlobs(ctx, repo, m)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	return nil
}

// warmManifest brings a reference to its newest version.
func (s *Service) warmManifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	if ref.IsDigest() {
		return s.byDigest(ctx, repo, digest.Digest(ref))
	}
	got, err := s.checkNow(ctx, repo, ref, s.rule(repo))
	if err != nil {
		return nil, err
	}
	rec := got.rec
	if u := got.update; u != nil {
		select {
		case <-u.ended:
			if rec, err = u.rec, u.err; err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if f := rec.Failure; f != nil {
		return nil, fmt.Errorf("it was not rechunked, which is tried again after %s: %s", f.RetryAt.Format(time.RFC3339), f.Error)
	}
	return s.show(ctx, repo, rec, shown(rec))
}

// warmBlobs downloads what the manifest names and the store lacks; of an index, the configured platforms.
func (s *Service) warmBlobs(ctx context.Context, repo name.Repository, m *registry.Manifest) error {
	if !image.IsIndex(m.MediaType) {
		return s.warmImage(ctx, repo, m)
	}
	idx, err := image.ParseIndex(m.Bytes)
	if err != nil {
		return err
	}
	for _, child := range idx.Images(s.rule(repo).Platforms) {
		cm, err := s.byDigest(ctx, repo, child.Digest)
		if err == nil {
			err = s.warmImage(ctx, repo, cm)
		}
		if err != nil {
			return fmt.Errorf("platform %s: %w", child.Platform, err)
		}
	}
	return nil
}

func (s *Service) warmImage(ctx context.Context, repo name.Repository, m *registry.Manifest) error {
	var doc ocispec.Manifest
	if err := json.Unmarshal(m.Bytes, &doc); err != nil {
		return fmt.Errorf("manifest %s: %w", m.Digest, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(warmDownloads)
	for _, d := range append([]ocispec.Descriptor{doc.Config}, doc.Layers...) {
		if d.Digest.Validate() != nil || len(d.URLs) > 0 {
			continue // not the registry's own
		}
		g.Go(func() error {
			if _, err := s.Chunks.Stat(ctx, d.Digest); err == nil {
				return nil
			}
			return s.flights.Wait(ctx, d.Digest, s.fetch(repo, d.Digest, d.Size))
		})
	}
	return g.Wait()
}

// tellProgress reports the jobs of a reference until the returned function is called.
func (s *Service) tellProgress(ctx context.Context, ref string, repo name.Repository, reference name.Reference, progress func(admin.WarmEvent)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(warmTick)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for _, j := range s.jobs.reports() {
				if j.Repository == repo.String() && j.Reference == string(reference) && j.State == admin.StateRunning {
					progress(admin.WarmEvent{
						Reference: ref, Platform: j.Platform, State: j.State, Phase: j.Phase, DoneBytes: j.DoneBytes, TotalBytes: j.TotalBytes,
					})
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
