package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/tags"
	"github.com/strata-oci/strata/proxy/rollout"
)

// RolloutReport tells which versions of a tag hosts get.
type RolloutReport struct {
	Reference string `json:"reference"`
	State     string `json:"state"` // of rollout.State
	// Held says who held it, when and why; absent while it goes on.
	Held *catalog.RolloutStop `json:"held,omitempty"`
	// Ends says that no rule has steps for it any longer: all hosts get the newest version with the next pull.
	Ends bool `json:"ends,omitempty"`
	// Require is what the rule asks of the hosts of a step; absent where it asks for nothing.
	Require string `json:"require,omitempty"`
	// Versions are those that hosts get or will get, oldest first.
	Versions []RolledReport `json:"versions"`
	// Log has what was changed and by whom, newest last; in lists it is left out.
	Log []catalog.RolloutEvent `json:"log,omitempty"`
}

// RolledReport tells which hosts get a version.
type RolledReport struct {
	SourceDigest string `json:"source_digest"`
	Digest       string `json:"digest"`
	// Version is what the image calls itself; absent where it does not, and in answers to what changes a roll-out.
	Version string    `json:"version,omitempty"`
	MadeAt  time.Time `json:"made_at"`
	BegunAt time.Time `json:"begun_at,omitzero"` // when the first hosts could get it
	// Share is the part of all hosts that get it, or a newer one; First do, too.
	Share float64  `json:"share"`
	First []string `json:"first,omitempty"`
	// NextAt is when the rule's next step comes, absent, too, while that waits for hosts to be seen again. A time that is
	// over is that of a step which comes with the next pull. NextShare is the part of all hosts that get it then; absent
	// where no step comes, and 0 for one that is for those who are first alone.
	NextAt    time.Time `json:"next_at,omitzero"`
	NextShare *float64  `json:"next_share,omitempty"`
	// Seen tells what became of the hosts of its last step; absent where nothing is required of them, and of versions that
	// all hosts get or that reach no more.
	Seen *SeenReport `json:"seen,omitempty"`
	// RevertedAt is when the tag went back from it: it stays with those that got it until a newer one reaches them.
	RevertedAt time.Time            `json:"reverted_at,omitzero"`
	Withdrawn  *catalog.RolloutStop `json:"withdrawn,omitempty"`
}

// SeenReport tells which hosts that got a version in its last step, or shortly before, were seen again.
type SeenReport struct {
	Hosts   int `json:"hosts"`
	Back    int `json:"back"`
	Overdue int `json:"overdue"` // those that were not, though their time is over
}

// MaxReason bounds why a tag is held or goes back, in bytes.
const MaxReason = catalog.MaxRolloutText

// ErrRollout says that a roll-out is not one with which that can be done.
var ErrRollout = errors.New("not possible")

// RolloutTags change roll-outs by hand.
type RolloutTags interface {
	Hold(ctx context.Context, repo name.Repository, tag name.Reference, by, reason string) (*catalog.Rollout, error)
	HoldFor(ctx context.Context, repo name.Repository, tag name.Reference, reason string,
		since time.Time) (*catalog.Rollout, error)
	GoOn(ctx context.Context, repo name.Repository, tag name.Reference, by string, all bool) (*catalog.Rollout, error)
	Rollback(ctx context.Context, repo name.Repository, tag name.Reference, by, reason string) (*catalog.Rollout, error)
}

// Rollouts change roll-outs by hand. They are safe for concurrent use.
type Rollouts struct {
	Tags  RolloutTags
	Names name.Parser
	// Rule returns the settings of a repository, "host/path".
	Rule func(repository string) config.Rule
	// Returned tells which hosts that got a version were seen again; nil: nobody knows.
	Returned tags.Returned
	Now      func() time.Time
}

// Hold keeps the versions of a tag, "host/path:tag", from reaching more hosts. Errors wrap ErrNotFound, ErrRollout or
// ErrReference.
func (o *Rollouts) Hold(ctx context.Context, ref, by, reason string) (*RolloutReport, error) {
	return o.do(ref, func(repo name.Repository, tag name.Reference) (*catalog.Rollout, error) {
		return o.Tags.Hold(ctx, repo, tag, by, reason)
	})
}

// HoldFor is Hold because of what is wrong since a time, of which nobody but an alert tells; zero: since now. Errors are
// those of Hold. One that wraps ErrRollout comes with how the roll-out stands.
func (o *Rollouts) HoldFor(ctx context.Context, ref, reason string, since time.Time) (*RolloutReport, error) {
	return o.do(ref, func(repo name.Repository, tag name.Reference) (*catalog.Rollout, error) {
		return o.Tags.HoldFor(ctx, repo, tag, reason, since)
	})
}

// Release ends what keeps the newest version of a tag from hosts; with all, all get it at once. Errors are those of Hold.
func (o *Rollouts) Release(ctx context.Context, ref, by string, all bool) (*RolloutReport, error) {
	return o.do(ref, func(repo name.Repository, tag name.Reference) (*catalog.Rollout, error) {
		return o.Tags.GoOn(ctx, repo, tag, by, all)
	})
}

// Rollback gives all hosts the version again that all had before. Errors are those of Hold.
func (o *Rollouts) Rollback(ctx context.Context, ref, by, reason string) (*RolloutReport, error) {
	return o.do(ref, func(repo name.Repository, tag name.Reference) (*catalog.Rollout, error) {
		return o.Tags.Rollback(ctx, repo, tag, by, reason)
	})
}

func (o *Rollouts) do(ref string,
	fn func(repo name.Repository, tag name.Reference) (*catalog.Rollout, error)) (*RolloutReport, error) {
	repo, tag, err := tagReference(o.Names, ref)
	if err != nil {
		return nil, err
	}
	r, err := fn(repo, tag)
	key := catalog.TagKey{Repository: repo.String(), Tag: string(tag)}
	var stands *RolloutReport
	if r != nil {
		stands = rolled{o.Rule(repo.String()).Rollout, o.Returned, o.Now()}.report(key, r, true)
	}
	switch {
	case errors.Is(err, tags.ErrNotPulled):
		return nil, fmt.Errorf("%w: %s was not pulled through this proxy: strata status lists what was", ErrNotFound, key)
	case errors.Is(err, rollout.ErrHeld), errors.Is(err, rollout.ErrKnown), errors.Is(err, rollout.ErrNoEarlier),
		errors.Is(err, rollout.ErrSettled):
		return stands, fmt.Errorf("%s: %w: %w", key, ErrRollout, err)
	case errors.Is(err, rollout.ErrNotHeld):
		return nil, fmt.Errorf("%s: %w: %w; strata release --all gives its newest version to all hosts", key, ErrRollout,
			err)
	case err != nil:
		return nil, fmt.Errorf("roll-out of %s: %w", key, err)
	}
	return stands, nil
}

// tagReference parses a reference that has to name a tag.
func tagReference(names name.Parser, ref string) (name.Repository, name.Reference, error) {
	repo, tag, err := names.ParseReference(ref)
	switch {
	case err != nil:
		return repo, tag, fmt.Errorf("%w: %w", ErrReference, err)
	case tag.IsDigest():
		return repo, tag, fmt.Errorf("%w: %s is a digest; name the tag, host/path:tag", ErrReference, ref)
	}
	return repo, tag, nil
}

// rolled is by what roll-outs are told.
type rolled struct {
	rule     config.Rollout
	returned tags.Returned
	now      time.Time
}

func (w rolled) report(key catalog.TagKey, r *catalog.Rollout, log bool) *RolloutReport {
	out := &RolloutReport{Reference: key.String(), State: string(rollout.StateOf(r)), Held: r.Held,
		Require: w.rule.Require.String()}
	out.Ends = !w.rule.Enabled() && r.Held == nil && r.UnderWay() && r.Versions[len(r.Versions)-1].Withdrawn == nil
	for i, v := range r.Versions {
		told := RolledReport{
			SourceDigest: v.SourceDigest.String(), Digest: v.Digest.String(), MadeAt: v.MadeAt, BegunAt: v.BegunAt,
			Share: v.Share, First: v.First, Withdrawn: v.Withdrawn, RevertedAt: v.RevertedAt, Seen: w.seen(key, &v),
		}
		at, share := rollout.Next(r, i, w.rule, w.now)
		if told.NextAt = at; share > 0 || !at.IsZero() {
			told.NextShare = &share
		}
		out.Versions = append(out.Versions, told)
	}
	if log {
		out.Log = r.Log
	}
	return out
}

// seen tells what became of the hosts of a version of which something is required.
func (w rolled) seen(key catalog.TagKey, v *catalog.RolledVersion) *SeenReport {
	q := w.rule.Require
	if !q.Enabled() || w.returned == nil || v.Complete() || v.BegunAt.IsZero() || v.Withdrawn != nil ||
		!v.RevertedAt.IsZero() {
		return nil
	}
	s, ok := w.returned(key, rollout.Digests(v), rollout.Since(v, q), time.Duration(q.Within))
	if !ok {
		return nil
	}
	return &SeenReport{s.Hosts, s.Back, s.Overdue}
}

// staged finds the roll-outs of tags: of one repository as the store has them, or of all as they are remembered.
func (v *View) staged(ctx context.Context, only string) (func(catalog.TagKey) (*catalog.Rollout, error), error) {
	if v.rolled == nil || only != "" {
		return func(key catalog.TagKey) (*catalog.Rollout, error) { return v.Rolled.Get(ctx, key) }, nil
	}
	all, err := v.rolled.All(ctx)
	if err != nil {
		return nil, err
	}
	return func(key catalog.TagKey) (*catalog.Rollout, error) {
		i, ok := slices.BinarySearchFunc(all, key,
			func(s catalog.Summary[catalog.TagKey, *catalog.Rollout], key catalog.TagKey) int {
				return strings.Compare(s.Key.String(), key.String())
			})
		if !ok {
			return nil, nil
		}
		return all[i].Of, nil
	}, nil
}

// rollout reports the roll-out of a tag that has one. Where its record is lost, that is what the next pull makes of the
// tag's.
func (v *View) rollout(ctx context.Context, key catalog.TagKey, rec *catalog.Tag,
	staged func(catalog.TagKey) (*catalog.Rollout, error), log bool) (*RolloutReport, error) {
	if v.Rolled == nil {
		return nil, nil
	}
	r, err := staged(key)
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = tags.Lost(rec, v.Now())
	}
	if r == nil {
		return nil, nil
	}
	out := rolled{v.Rule(key.Repository).Rollout, v.Returned, v.Now()}.report(key, r, log)
	for i := range out.Versions {
		if log || r.UnderWay() {
			out.Versions[i].Version = v.label(ctx, key.Repository, out.Versions[i].Digest)
		}
	}
	return out, nil
}
