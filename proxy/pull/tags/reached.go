package tags

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/rollout"
)

// reachedAge is how long a host that was noted needs no look at the store: it stays noted while that matters.
const reachedAge = time.Minute

// reach knows which versions of a tag reached a host, and notes that one does before the host gets it, so that it stays with
// the host whatever comes then.
func (t *Tags) reach(ctx context.Context, key catalog.TagKey, r *catalog.Rollout, host uint64) rollout.Reach {
	return func(i int, now bool) (bool, error) {
		at := catalog.ReachedBy(key, r.Versions[i].SourceDigest, host)
		for _, age := range []time.Duration{reachedAge, 0} {
			hosts, err := t.Reached.GetWithin(ctx, at, age)
			if err != nil || hosts != nil && hosts.Has(host) {
				return err == nil, err
			}
		}
		if !now {
			return false, nil
		}
		defer t.lockName(ctx, "reached "+at.String())()
		hosts, err := t.Reached.Get(ctx, at)
		if err != nil {
			return false, err
		}
		if hosts == nil {
			hosts = &catalog.Reached{}
		}
		if !hosts.Add(host) {
			t.Logger.DebugContext(ctx, "a version reaches more hosts than are remembered, and these get it with all others",
				"tag", key.String(), "source", at.Source.String())
			return false, nil
		}
		if err := t.Reached.Put(ctx, at, hosts); err != nil {
			return false, fmt.Errorf("noting a host: %w", err)
		}
		return true, nil
	}
}

// counted are the versions of a roll-out whose hosts matter.
func counted(r *catalog.Rollout) map[digest.Digest]bool {
	out := map[digest.Digest]bool{}
	for i := range r.Versions {
		if v := &r.Versions[i]; v.Counted && v.Withdrawn == nil && !v.Complete() {
			out[v.SourceDigest] = true
		}
	}
	return out
}

// forgetReached forgets the hosts of versions that no longer matter, of those that did.
func (t *Tags) forgetReached(ctx context.Context, key catalog.TagKey, before map[digest.Digest]bool, r *catalog.Rollout) {
	still, gone := counted(r), false
	for d := range before {
		gone = gone || !still[d]
	}
	if !gone {
		return
	}
	err := t.Reached.List(ctx, catalog.ReachedOf(key), func(at catalog.ReachedKey, _ time.Time) error {
		if still[at.Source] {
			return nil
		}
		return t.Reached.Delete(ctx, at)
	})
	if err != nil {
		t.Logger.DebugContext(ctx, "what is known of a version's hosts stays", "tag", key.String(), "error", err)
	}
}
