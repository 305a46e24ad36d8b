package pull

import (
	"context"
	"errors"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// maxAnswers bounds the memory of answers to a few megabytes.
const maxAnswers = 10_000

// answers remembers what clients were answered, without the bytes, which the store has in its cache. It is for answers
// while the store cannot be reached, and for nothing else. It is safe for concurrent use.
type answers struct {
	seen *lru.Cache[string, registry.Manifest]
}

func newAnswers() answers {
	seen, _ := lru.New[string, registry.Manifest](maxAnswers) // fails for sizes below 1 only
	return answers{seen}
}

// answerKey names an answer. policy is what the image was checked by: keys that change make others of all answers.
func answerKey(repo name.Repository, ref name.Reference, policy string) string {
	return repo.String() + " " + string(ref) + " " + policy
}

func (l answers) note(repo name.Repository, ref name.Reference, policy string, m *registry.Manifest) {
	if m.Staged { // it is for one host, and may be another's or be withdrawn by the time it is needed
		l.seen.Remove(answerKey(repo, ref, policy))
		return
	}
	answer := *m
	answer.Bytes = nil
	l.seen.Add(answerKey(repo, ref, policy), answer)
}

func (l answers) recall(repo name.Repository, ref name.Reference, policy string) (registry.Manifest, bool) {
	return l.seen.Get(answerKey(repo, ref, policy))
}

// fromMemory answers as before, where an error says that the store cannot be reached and memory has all of it; nil else.
func (i *Images) fromMemory(ctx context.Context, repo name.Repository, ref name.Reference, err error) *registry.Manifest {
	if !errors.Is(err, chunkstore.ErrUnreachable) || ctx.Err() != nil {
		return nil
	}
	m, ok := i.answers.recall(repo, ref, i.Policy(repo))
	if !ok {
		return nil
	}
	if m.Bytes, err = i.Cache.Get(ctx, m.Digest, image.MaxDocument); err != nil {
		return nil
	}
	m.Served = registry.Stale
	if m.Origin != registry.MadeHere {
		m.Origin = registry.FromStore
	}
	return &m
}
