package trust

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

// Bounds of what is remembered of refused tags, whose names clients and upstreams choose.
const (
	maxRefusals    = 1000 // in all
	maxRefusalsOf  = 100  // of a repository
	confirmRefusal = time.Hour
	keepRefusal    = 7 * 24 * time.Hour
)

// Refusals are the tags of which nothing is shown, for operators. They are safe for concurrent use.
type Refusals struct {
	Records *catalog.Table[catalog.TagKey, catalog.Refusal]
	// Policy names what the images of a repository are checked by; "" says that they are not.
	Policy func(repository string) string
	Logger *slog.Logger
	Now    func() time.Time
}

// Note remembers that nothing is shown under a tag. What is remembered already is confirmed now and then.
func (r *Refusals) Note(ctx context.Context, key catalog.TagKey, source digest.Digest, policy, reason string) error {
	before, err := r.Records.Get(ctx, key)
	if err != nil {
		return err
	}
	now := r.Now().UTC()
	rec := catalog.Refusal{Source: source, Policy: policy, Reason: reason[:min(len(reason), maxReason)], Since: now,
		CheckedAt: now}
	if before != nil {
		rec.Since = before.Since
		same := before.Source == rec.Source && before.Policy == rec.Policy && before.Reason == rec.Reason
		if age := now.Sub(before.CheckedAt); same && age >= 0 && age < confirmRefusal {
			return nil
		}
	} else if err := r.makeRoom(ctx, key.Repository); err != nil {
		return err
	}
	return r.Records.Put(ctx, key, &rec)
}

// makeRoom removes the oldest where there are as many as may be: of the repository, or of all.
func (r *Refusals) makeRoom(ctx context.Context, repository string) error {
	type found struct {
		n      int
		oldest catalog.TagKey
		at     time.Time
	}
	var all, own found
	count := func(f *found, key catalog.TagKey, at time.Time) {
		if f.n++; f.n == 1 || at.Before(f.at) {
			f.oldest, f.at = key, at
		}
	}
	err := r.Records.List(ctx, catalog.Prefix[catalog.TagKey]{}, func(key catalog.TagKey, at time.Time) error {
		count(&all, key, at)
		if key.Repository == repository {
			count(&own, key, at)
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("counting refused tags: %w", err)
	case own.n >= maxRefusalsOf:
		return r.Records.Delete(ctx, own.oldest)
	case all.n >= maxRefusals:
		return r.Records.Delete(ctx, all.oldest)
	}
	return nil
}

// Clear forgets a tag, under which something is shown now.
func (r *Refusals) Clear(ctx context.Context, key catalog.TagKey) error {
	return r.Records.Delete(ctx, key)
}

// Each calls fn with the refused tags whose keys begin with a prefix, in ascending order. Those whose rule asks for no
// signature any longer, or that nobody has asked for lately, are removed.
func (r *Refusals) Each(ctx context.Context, of catalog.Prefix[catalog.TagKey],
	fn func(key catalog.TagKey, rec *catalog.Refusal) error) error {
	return r.Records.Each(ctx, of, func(key catalog.TagKey, rec *catalog.Refusal) error {
		now := r.Policy(key.Repository)
		if now == "" || r.Now().Sub(rec.CheckedAt) > keepRefusal {
			if err := r.Records.Delete(ctx, key); err != nil {
				r.Logger.WarnContext(ctx, "a refused tag could not be forgotten", "tag", key.String(), "error", err)
			}
			return nil
		}
		if now != rec.Policy {
			rec.Reason += "; keys have changed since, and the next pull checks again"
		}
		return fn(key, rec)
	})
}
