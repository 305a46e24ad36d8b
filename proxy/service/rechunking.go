package service

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// made is the result of rechunking a manifest or an index.
type made struct {
	Digest    digest.Digest
	MediaType string
}

// rechunkManifest rechunks an image, or the configured platforms of an index. Of an index it may return a result and the error that
// kept some of the platforms from being rechunked.
func (s *Service) rechunkManifest(ctx context.Context, u *update, m *registry.Manifest) (*made, error) {
	if image.IsIndex(m.MediaType) {
		return s.rechunkIndex(ctx, u, m)
	}
	doc, err := s.rechunkImage(ctx, jobRequest{repo: u.repo, ref: u.tag, digest: m.Digest, manifest: m.Bytes, rule: u.rule})
	if err != nil {
		return nil, err
	}
	return &made{doc.Digest, doc.MediaType}, nil
}

// rechunkImage has one image rechunked and notes what it is, so that it can be asked for by digest.
func (s *Service) rechunkImage(ctx context.Context, req jobRequest) (*image.Document, error) {
	r, err := s.jobs.do(ctx, req)
	if err != nil {
		return nil, err
	}
	b, err := s.manifestBytes(ctx, r.Digest)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of image %s: %w", r.Digest, err)
	}
	rec := &catalog.Manifest{MediaType: r.MediaType, Source: req.digest, Served: catalog.Rechunked}
	if err := s.records.Manifests.Put(ctx, r.Digest, rec); err != nil {
		return nil, err
	}
	return &image.Document{MediaType: r.MediaType, Digest: r.Digest, Bytes: b}, nil
}

// rechunkIndex rechunks the configured platforms of an index. When some of them can't be, the others are served rechunked all the
// same, unless they are out of reach: then a version before is better, if there is one.
func (s *Service) rechunkIndex(ctx context.Context, u *update, m *registry.Manifest) (*made, error) {
	idx, err := image.ParseIndex(m.Bytes)
	if err != nil {
		return nil, err
	}
	replaced, err := s.rechunkChildren(ctx, u, idx.Images(u.rule.Platforms))
	before := u.before != nil && u.before.Served == catalog.Rechunked && u.before.SourceDigest != m.Digest
	switch {
	case ctx.Err() != nil, err != nil && before && passing(err):
		return nil, err
	case len(replaced) == 0 && err == nil:
		return nil, fmt.Errorf("%w: none of its images is to be rechunked", rechunk.ErrPassThrough)
	case len(replaced) == 0:
		return nil, err
	}
	doc, rerr := idx.Replace(replaced)
	if rerr == nil {
		rerr = s.storeManifest(ctx, doc.Digest, doc.Bytes, &catalog.Manifest{MediaType: doc.MediaType, Source: m.Digest, Served: catalog.Rechunked})
	}
	if rerr != nil {
		return nil, errors.Join(rerr, err)
	}
	return &made{doc.Digest, doc.MediaType}, err
}

// rechunkChildren rechunks the images of an index: those of one platform, which share a lineage, in their order, different platforms
// at the same time. It returns what was made, by source digest, and why the rest failed; passing through is no failure.
func (s *Service) rechunkChildren(ctx context.Context, u *update, children []image.Child) (map[digest.Digest]image.Document, error) {
	platforms := map[string][]image.Child{}
	for _, c := range children {
		platforms[c.Platform] = append(platforms[c.Platform], c)
	}
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		replaced = map[digest.Digest]image.Document{}
		failures = map[digest.Digest]error{}
	)
	for _, same := range platforms {
		wg.Go(func() {
			for _, c := range same {
				doc, err := s.rechunkChild(ctx, u, c)
				mu.Lock()
				if err == nil {
					replaced[c.Digest] = *doc
				} else if !errors.Is(err, rechunk.ErrPassThrough) {
					failures[c.Digest] = fmt.Errorf("platform %s: %w", c.Platform, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	var all []error
	for _, c := range children { // in an order that does not change from try to try
		all = append(all, failures[c.Digest])
	}
	return replaced, errors.Join(all...)
}

func (s *Service) rechunkChild(ctx context.Context, u *update, c image.Child) (*image.Document, error) {
	m, err := s.byDigest(ctx, u.repo, c.Digest)
	if err != nil {
		return nil, err
	}
	return s.rechunkImage(ctx, jobRequest{
		repo: u.repo, ref: u.tag, platform: c.Platform, digest: c.Digest, manifest: m.Bytes, rule: u.rule,
	})
}
