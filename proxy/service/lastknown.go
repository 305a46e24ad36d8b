package service

import (
	"context"
	"errors"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// maxLastKnown bounds the memory of lastKnown to a few megabytes.
const maxLastKnown = 10_000

// lastKnown remembers what clients were answered, without the bytes, which the store has in its cache. It is for answers while the
// store cannot be reached, and for nothing else. It is safe for concurrent use.
type lastKnown struct {
	seen *lru.Cache[string, registry.Manifest]
}

func newLastKnown() lastKnown {
	seen, _ := lru.New[string, registry.Manifest](maxLastKnown) // fails for sizes below 1 only
	return lastKnown{seen}
}

func answerKey(repo name.Repository, ref name.Reference) string {
	return repo.String() + " " + string(ref)
}

func (l lastKnown) note(repo name.Repository, ref name.Reference, m *registry.Manifest) {
	answer := *m
	answer.Bytes = nil
	l.seen.Add(answerKey(repo, ref), answer)
}

func (l lastKnown) recall(repo name.Repository, ref name.Reference) (registry.Manifest, bool) {
	return l.seen.Get(answerKey(repo, ref))
}

// fromMemory answers as before, where an error says that the store cannot be reached and memory has all of it; nil else.
func (s *Service) fromMemory(ctx context.Context, repo name.Repository, ref name.Reference, err error) *registry.Manifest {
	if !errors.Is(err, chunkstore.ErrUnreachable) || ctx.Err() != nil {
		return nil
	}
	m, ok := s.lastKnown.recall(repo, ref)
	if !ok {
		return nil
	}
	if m.Bytes, err = s.Chunks.Get(ctx, m.Digest, maxManifest); err != nil {
		return nil
	}
	m.Served = registry.Stale
	if m.Origin != registry.MadeHere {
		m.Origin = registry.FromStore
	}
	return &m
}
