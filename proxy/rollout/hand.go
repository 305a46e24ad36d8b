package rollout

import (
	"errors"
	"slices"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk/legible"
)

var (
	// ErrHeld says that a roll-out is held already.
	ErrHeld = errors.New("it is held already")
	// ErrNotHeld says that nothing keeps a roll-out from going on.
	ErrNotHeld = errors.New("nothing is held back")
	// ErrSettled says that all hosts get the newest version.
	ErrSettled = errors.New("nothing is held back: all hosts get the newest version")
	// ErrKnown says that an operator released a roll-out, or took a version back, since what it was to be held for began.
	ErrKnown = errors.New("an operator released it, or rolled it back, since that began")
	// ErrNoEarlier says that there is no version to go back to.
	ErrNoEarlier = errors.New("no earlier version is kept to go back to")
)

// stop says who stopped a version, when and why.
func stop(by, reason string, now time.Time) *catalog.RolloutStop {
	return &catalog.RolloutStop{By: legible.Clip(by, catalog.MaxRolloutText), At: now.UTC(),
		Reason: legible.Clip(reason, catalog.MaxRolloutText)}
}

// Hold keeps all versions from reaching more hosts than they did, those that come later, too.
func Hold(r *catalog.Rollout, by, reason string, now time.Time) error {
	if r.Held != nil {
		return ErrHeld
	}
	r.Held = stop(by, reason, now)
	note(r, catalog.RolloutEvent{At: now, By: by, Action: ActionHold, Source: r.Versions[len(r.Versions)-1].SourceDigest,
		Note: reason})
	return nil
}

// HoldFor holds a roll-out because of what is wrong since a time, unless an operator had a hand in it after that, who knows.
// Errors are ErrHeld and ErrKnown.
func HoldFor(r *catalog.Rollout, reason string, since, now time.Time) error {
	for _, e := range r.Log {
		if (e.Action == ActionRelease || e.Action == ActionRollback) && !e.At.Before(since) {
			return ErrKnown
		}
	}
	return Hold(r, Automatic, reason, now)
}

// Release ends what keeps the newest version back: that it is held by hand; that it was withdrawn; or the rule's hold. Its
// steps then go on where they were held, or begin. With all, all hosts get the newest version at once.
func Release(r *catalog.Rollout, by string, all bool, now time.Time) error {
	v := &r.Versions[len(r.Versions)-1]
	e := catalog.RolloutEvent{At: now, By: by, Action: ActionRelease, Source: v.SourceDigest}
	switch {
	case r.Held != nil:
		resume(r, now)
	case v.Withdrawn != nil:
		*v = catalog.RolledVersion{SourceDigest: v.SourceDigest, SourceType: v.SourceType, Digest: v.Digest,
			MediaType: v.MediaType, Served: v.Served, Policy: v.Policy, MadeAt: now.UTC(), Released: true}
	case v.BegunAt.IsZero() && !v.Released:
		v.Released, v.MadeAt, v.PausedSeconds = true, now.UTC(), 0
	case v.Complete():
		return ErrSettled
	case !all:
		return ErrNotHeld
	}
	if all && !v.Complete() {
		if v.BegunAt.IsZero() {
			v.BegunAt = now.UTC()
		}
		v.Withdrawn, v.Share, v.StepAt, e.Note = nil, 1, now.UTC(), "all hosts"
		trim(r)
	}
	note(r, e)
	return nil
}

// resume ends a hold, whose time does not count for the steps.
func resume(r *catalog.Rollout, now time.Time) {
	for i := range r.Versions {
		v := &r.Versions[i]
		from := r.Held.At
		if v.MadeAt.After(from) {
			from = v.MadeAt
		}
		v.PausedSeconds += max(now.Sub(from).Seconds(), 0)
		if r.Held.By == Automatic {
			v.JudgedFrom = now.UTC()
		}
	}
	r.Held = nil
}

// Rollback withdraws what came after the last version that all hosts had before the newest, whether that reached any or not:
// all get that one again. It returns it. What the tag stands for later goes out by the rule. It takes the place of a hold,
// so that the roll-out tells of the operator's last word, and one release ends it.
func Rollback(r *catalog.Rollout, by, reason string, now time.Time) (*catalog.RolledVersion, error) {
	newest := len(r.Versions) - 1
	for newest > 0 && r.Versions[newest].Withdrawn != nil {
		newest--
	}
	to := newest - 1
	for to >= 0 && !r.Versions[to].Complete() {
		to--
	}
	if to < 0 {
		return nil, ErrNoEarlier
	}
	if r.Held != nil {
		resume(r, now)
	}
	back := r.Versions[to].SourceDigest
	// Where the tag had gone back to that version already, there is nothing to withdraw of it.
	again := func(v catalog.RolledVersion) bool { return v.SourceDigest == back && !v.Complete() }
	r.Versions = slices.DeleteFunc(r.Versions, again)
	for i := to + 1; i < len(r.Versions); i++ {
		if v := &r.Versions[i]; v.Withdrawn == nil {
			v.Withdrawn = stop(by, reason, now)
		}
	}
	note(r, catalog.RolloutEvent{At: now, By: by, Action: ActionRollback, Source: back, Note: reason})
	return &r.Versions[to], nil
}
