package service

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// warmTick is how often progress is told.
const warmTick = 250 * time.Millisecond

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
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	return s.warmBlobs(ctx, repo, m)
}

// warmManifest brings a reference to its newest version.
func (s *Service) warmManifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	if ref.IsDigest() {
		return s.byDigest(ctx, repo, digest.Digest(ref))
	}
	got, err := s.check(ctx, repo, ref, s.rule(repo))
	if err != nil {
		return nil, err
	}
	rec := got.rec
	if got.update != nil {
		select {
		case <-got.update.ended:
			if rec, err = got.update.rec, got.update.err; err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if rec.Error != "" {
		return nil, fmt.Errorf("the original is served: %s", rec.Error)
	}
	return s.show(ctx, repo, rec, rec.Served)
}

func (s *Service) rule(repo name.Repository) config.Rule { return s.Rules.Rule(repo.String()) }

// warmBlobs downloads what the manifest names and the store lacks; of an index, the configured platforms.
func (s *Service) warmBlobs(ctx context.Context, repo name.Repository, m *registry.Manifest) error {
	if image.IsIndex(m.MediaType) {
		idx, err := image.ParseIndex(m.Bytes)
		if err != nil {
			return err
		}
		for _, child := range idx.Images(s.rule(repo).Platforms) {
			cm, err := s.byDigest(ctx, repo, child.Digest)
			if err == nil {
				err = s.warmBlobs(ctx, repo, cm)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	var doc ocispec.Manifest
	if err := json.Unmarshal(m.Bytes, &doc); err != nil {
		return fmt.Errorf("manifest %s: %w", m.Digest, err)
	}
	for _, d := range append([]ocispec.Descriptor{doc.Config}, doc.Layers...) {
		if d.Digest.Validate() != nil || len(d.URLs) > 0 {
			continue
		}
		if _, err := s.Chunks.Stat(ctx, d.Digest); err == nil {
			continue
		}
		err := s.flights.Wait(ctx, d.Digest, func(ctx context.Context) (io.ReadCloser, int64, error) {
			return s.Upstream.Blob(ctx, repo, d.Digest, d.Size)
		})
		if err != nil {
			return err
		}
	}
	return nil
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

// Ready reports what keeps the proxy from serving, for the readiness probe.
func (s *Service) Ready(ctx context.Context) error { return s.Chunks.Check(ctx) }

var _ registry.Blob = (*chunkstore.Content)(nil)
