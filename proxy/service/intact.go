package service

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/image"
)

// intact reports whether what a tag's record leads to is stored: its manifest, and, where clients missed something since the record
// was written, all that a rechunked image refers to.
func (s *Service) intact(ctx context.Context, repo name.Repository, rec *catalog.Tag) bool {
	b, err := s.manifestBytes(ctx, rec.Digest)
	if err != nil {
		return false
	}
	if rec.Served != catalog.Rechunked || !s.losses.since(repo, rec.CheckedAt) {
		return true
	}
	return s.whole(ctx, rec.MediaType, b)
}

// whole reports whether the store has all that was made for a manifest. Originals can be fetched again.
func (s *Service) whole(ctx context.Context, mediaType string, manifest []byte) bool {
	if !image.IsIndex(mediaType) {
		return s.hasBlobs(ctx, manifest)
	}
	idx, err := image.ParseIndex(manifest)
	if err != nil {
		return false
	}
	for _, child := range idx.Images(nil) {
		rec, err := s.records.Manifests.Get(ctx, child.Digest)
		if err != nil {
			return false
		}
		if rec == nil || rec.Served != catalog.Rechunked {
			continue
		}
		b, err := s.manifestBytes(ctx, child.Digest)
		if err != nil || !s.hasBlobs(ctx, b) {
			return false
		}
	}
	return true
}

// hasBlobs reports whether config and layers of an image are stored.
func (s *Service) hasBlobs(ctx context.Context, manifest []byte) bool {
	for _, d := range blobsOf(manifest) {
		if _, err := s.Chunks.Stat(ctx, d); err != nil {
			return false
		}
	}
	return true
}

// blobsOf lists the config and the layers of an image.
func blobsOf(manifest []byte) []digest.Digest {
	var doc ocispec.Manifest
	if json.Unmarshal(manifest, &doc) != nil {
		return nil
	}
	out := []digest.Digest{doc.Config.Digest}
	for _, l := range doc.Layers {
		out = append(out, l.Digest)
	}
	return out
}

const (
	// lossEvery bounds how often a repository's images are looked through because clients ask for what nobody has.
	lossEvery = time.Minute
	maxLosses = 10_000
)

// losses remember the repositories of which clients asked for something by digest that neither the store nor the upstream has: a
// layer that was made here may have been lost. The zero value is ready.
type losses struct {
	mu   sync.Mutex
	last map[name.Repository]time.Time
}

func (l *losses) note(repo name.Repository, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil || len(l.last) >= maxLosses {
		l.last = map[name.Repository]time.Time{}
	}
	if now.Sub(l.last[repo]) >= lossEvery {
		l.last[repo] = now
	}
}

// since reports whether a repository missed something after a time.
func (l *losses) since(repo name.Repository, t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.last[repo]
	return ok && t.Before(last)
}
