package tags

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/rollout"
)

// Rollouts keep which versions of tags hosts get.
type Rollouts interface {
	Get(ctx context.Context, tag catalog.TagKey) (*catalog.Rollout, error)
	Put(ctx context.Context, tag catalog.TagKey, r *catalog.Rollout) error
}

// Metrics are told how versions reach hosts, and of those that do not since their tag went back to them.
type Metrics interface {
	WentBack()
	RolledOut(newest bool)
	RolloutChanged(action string)
}

// errNotStaged says that a tag can't move, because its roll-out does not take the new version.
var errNotStaged = errors.New("the roll-out does not take the new version")

// aboutImages are the tags of signatures and the like, which name the image that they are about, and are no versions.
var aboutImages = regexp.MustCompile(`^sha(256|512)-[0-9a-f]{64}`)

// staged reports whether versions of a tag go out in another way than all at once: by its rule, or because an operator held
// it. What a host gets depends on who asks then.
func (t *Tags) staged(repo name.Repository, tag name.Reference, rec *catalog.Tag) bool {
	return t.Rollouts != nil && (rec.Staged || t.Rule(repo.String()).Rollout.Enabled()) &&
		!aboutImages.MatchString(string(tag))
}

// given makes the answer for a host: what the tag's record stands for, or the earlier version that this host still gets.
func (t *Tags) given(ctx context.Context, repo name.Repository, tag name.Reference, rec *catalog.Tag,
	as registry.Served) (*registry.Manifest, error) {
	if !t.staged(repo, tag, rec) {
		return t.show(ctx, repo, rec, as)
	}
	r, err := t.progress(ctx, repo, tag, rec)
	if err != nil {
		return nil, err
	}
	rule, host := t.Rule(repo.String()).Rollout, hostOf(ctx)
	i, err := rollout.Pick(repo.String(), r, host, t.reach(ctx, recordKey(repo, tag), r, host.ID(repo.String())))
	if err != nil {
		return nil, err
	}
	v := &r.Versions[i]
	m, err := t.showVersion(ctx, repo, tag, v, rec, as)
	if err != nil {
		return nil, err
	}
	if t.Metrics != nil {
		t.Metrics.RolledOut(i == len(r.Versions)-1)
	}
	m.Staged, m.Rollout = true, rollout.Explain(r, i, rule, t.Now())
	m.Earlier = v.SourceDigest != rollout.Newest(r).SourceDigest
	return m, nil
}

// hostOf is the host that asks.
func hostOf(ctx context.Context) rollout.Host {
	c := registry.ClientOf(ctx)
	return rollout.Host{User: c.User, Address: c.Address}
}

// showVersion shows one version of a tag, if it may be shown by today's policy. As the original, it shows that where what
// was made of it is not there.
func (t *Tags) showVersion(ctx context.Context, repo name.Repository, tag name.Reference, v *catalog.RolledVersion,
	rec *catalog.Tag, as registry.Served) (*registry.Manifest, error) {
	shown := &catalog.Tag{SourceDigest: v.SourceDigest, SourceType: v.SourceType, Digest: v.Digest, MediaType: v.MediaType,
		Served: v.Served, Policy: v.Policy}
	if !t.trusted(repo, shown) {
		if err := t.admissible(ctx, repo, tag, shown); err != nil {
			return nil, err
		}
	}
	if v.SourceDigest == rec.SourceDigest && as != registry.Original {
		return t.show(ctx, repo, shown, as)
	}
	if as != registry.Stale {
		as = served(shown)
	}
	m, err := t.show(ctx, repo, shown, as)
	if err == nil || shown.Digest == shown.SourceDigest {
		return m, err
	}
	// What was made of it is lost, and nobody makes an earlier version again.
	shown.Digest, shown.MediaType = shown.SourceDigest, shown.SourceType
	return t.show(ctx, repo, shown, registry.Original)
}

// progress returns a tag's roll-out as it stands now: what time brings is written down before anybody gets it.
func (t *Tags) progress(ctx context.Context, repo name.Repository, tag name.Reference, rec *catalog.Tag) (*catalog.Rollout,
	error) {
	key, rule := recordKey(repo, tag), t.Rule(repo.String()).Rollout
	r, err := t.Rollouts.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if r != nil && lists(r, rec) && !rollout.Advance(r, rule, t.Now(), t.look(key)) {
		return r, nil
	}
	next, err := t.change(ctx, repo, tag, func(r *catalog.Rollout) error {
		rollout.Advance(r, rule, t.Now(), t.look(key))
		return nil
	})
	if err == nil {
		return next, nil
	}
	t.Logger.WarnContext(ctx, "a roll-out could not go on", "repository", repo.String(), "tag", string(tag), "error", err)
	if r, err := t.Rollouts.Get(ctx, key); r != nil && err == nil {
		return r, nil // as it was
	}
	return nil, fmt.Errorf("roll-out of %s: %w", key, err)
}

// lists reports whether a roll-out has what the tag's record stands for.
func lists(r *catalog.Rollout, rec *catalog.Tag) bool {
	for i := range r.Versions {
		if r.Versions[i].SourceDigest == rec.SourceDigest {
			return true
		}
	}
	return false
}

// change changes a tag's roll-out under the tag's lock, and returns it as it is then. What the tag stands for is in it
// before, as the version that all hosts have where there was no roll-out.
func (t *Tags) change(ctx context.Context, repo name.Repository, tag name.Reference,
	fn func(r *catalog.Rollout) error) (*catalog.Rollout, error) {
	key := recordKey(repo, tag)
	defer t.lock(ctx, key)()
	rec, err := t.record(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, ErrNotPulled
	}
	r, err := t.Rollouts.Get(ctx, key)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		r = t.begin(ctx, key, rec)
	case !lists(r, rec): // who imports images writes the tag's record alone
		if err := add(r, rec, t.Now()); err != nil {
			return nil, err
		}
	}
	before, counting := r.Changes, counted(r)
	if err := fn(r); err != nil {
		return nil, err
	}
	if err := t.Rollouts.Put(ctx, key, r); err != nil {
		return nil, fmt.Errorf("storing the roll-out: %w", err)
	}
	if mark(rec, r) {
		if err := t.Records.Put(ctx, key, rec); err != nil {
			return nil, fmt.Errorf("noting the roll-out: %w", err)
		}
	}
	t.forgetReached(ctx, key, counting, r)
	for _, e := range r.Log[max(len(r.Log)-int(r.Changes-before), 0):] {
		if t.Metrics != nil {
			t.Metrics.RolloutChanged(e.Action)
		}
		t.Logger.InfoContext(ctx, "roll-out", "repository", repo.String(), "tag", string(tag), "action", e.Action, "by",
			e.By,
			"source", e.Source.String(), "note", e.Note)
	}
	return r, nil
}

// begin returns the roll-out of a tag of which there is no record: it had none before, or what is lost is made again.
func (t *Tags) begin(ctx context.Context, key catalog.TagKey, rec *catalog.Tag) *catalog.Rollout {
	r := Lost(rec, t.Now())
	if r == nil {
		return rollout.New(version(rec), t.Now())
	}
	t.Logger.WarnContext(ctx, "a roll-out's record is lost: who has the newest version keeps it, and nobody else gets it "+
		"until strata release", "tag", key.String(), "stable", rec.Stable.SourceDigest.String(), "newest",
		rec.SourceDigest.String())
	return r
}

// Lost returns the roll-out of a tag whose record of it is not there, as the next pull makes it again; nil: it had none.
func Lost(rec *catalog.Tag, now time.Time) *catalog.Rollout {
	if !rec.Staged || rec.Stable == nil {
		return nil
	}
	return rollout.Recover(*rec.Stable, version(rec), now)
}

// mark has a tag's record say that there is a roll-out, since pulls look for one only where that or the rule says so, and
// what all hosts have by it. It reports whether that is new.
func mark(rec *catalog.Tag, r *catalog.Rollout) (changed bool) {
	stable := *rollout.Stable(r)
	if rec.Staged && rec.Stable != nil && rec.Stable.SourceDigest == stable.SourceDigest &&
		rec.Stable.Digest == stable.Digest && rec.Stable.Policy == stable.Policy {
		return false
	}
	rec.Staged, rec.Stable = true, &stable
	return true
}

// recalled is what a roll-out knows of a tag whose own record is lost. No rule is met by it, so that it is made anew.
func recalled(r *catalog.Rollout) *catalog.Tag {
	v := &r.Versions[len(r.Versions)-1]
	rec := &catalog.Tag{SourceDigest: v.SourceDigest, SourceType: v.SourceType, Digest: v.Digest, MediaType: v.MediaType,
		Served: v.Served, Policy: v.Policy, UpdatedAt: v.StepAt}
	mark(rec, r)
	return rec
}

func version(rec *catalog.Tag) catalog.RolledVersion {
	return catalog.RolledVersion{SourceDigest: rec.SourceDigest, SourceType: rec.SourceType, Digest: rec.Digest,
		MediaType: rec.MediaType, Served: rec.Served, Policy: rec.Policy}
}

// add puts what a tag's record stands for at the end of its roll-out.
func add(r *catalog.Rollout, rec *catalog.Tag, now time.Time) error {
	if _, full := rollout.Add(r, version(rec), now); full {
		return fmt.Errorf("%w: %d versions are on their way to hosts", errNotStaged, catalog.MaxRolled)
	}
	return nil
}

// enroll adds what a tag is moved to to its roll-out, where there is one, before the tag moves: so nobody sees it who is not
// to. The caller holds the tag's lock.
func (t *Tags) enroll(ctx context.Context, key catalog.TagKey, u *update) error {
	before, err := t.record(ctx, u.repo, u.tag)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotStaged, err)
	}
	if before == nil {
		before = u.rec // the first version is for all
	}
	if !t.staged(u.repo, u.tag, before) {
		return nil
	}
	r, err := t.Rollouts.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotStaged, err)
	}
	if r == nil {
		r = t.begin(ctx, key, before)
	}
	if err := add(r, u.rec, t.Now()); err != nil {
		return err
	}
	if err := t.Rollouts.Put(ctx, key, r); err != nil {
		return fmt.Errorf("%w: %w", errNotStaged, err)
	}
	mark(u.rec, r)
	return nil
}
