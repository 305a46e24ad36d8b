package rollout

import (
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
)

// State is how a roll-out stands, in one word.
type State string

// The states.
const (
	Complete  State = "complete"  // all hosts get the newest version
	Held      State = "held"      // by hand
	Waiting   State = "waiting"   // nobody gets the newest yet: the rule's hold, or the time of the first step, is not over
	Stepping  State = "stepping"  // some hosts get the newest
	Withdrawn State = "withdrawn" // the newest was rolled back
	Reverting State = "reverting" // the tag went back to what all hosts had: those that got a version since get it by steps
)

// StateOf returns how a roll-out stands.
func StateOf(r *catalog.Rollout) State {
	switch last := &r.Versions[len(r.Versions)-1]; {
	case r.Held != nil:
		return Held
	case last.Withdrawn != nil:
		return Withdrawn
	case last.Complete():
		return Complete
	case Stable(r).SourceDigest == last.SourceDigest:
		return Reverting
	case last.BegunAt.IsZero():
		return Waiting
	}
	return Stepping
}

// Next returns the next step of the version at an index, by the rule: when it comes, and the share of all hosts that get
// the version then; 0 and the zero time when none comes while things stay as they are. The zero time beside a share is that
// of a step whose time is over, and which waits for hosts to be seen again. Any other time that is not after now is that of
// a step which comes with the next pull.
func Next(r *catalog.Rollout, i int, rule config.Rollout, now time.Time) (at time.Time, share float64) {
	v := &r.Versions[i]
	if r.Held != nil || v.Withdrawn != nil || !v.RevertedAt.IsZero() || v.Complete() {
		return time.Time{}, 0
	}
	past := elapsed(v, rule, now)
	when := func(after config.Duration) time.Time {
		return now.Add(time.Duration(after) - past).UTC().Truncate(time.Second)
	}
	switch {
	case len(rule.Steps) == 0 && (v.BegunAt.IsZero() || past < 0):
		return when(0), 1
	case len(rule.Steps) == 0: // there is no rule for it any longer
		return time.Time{}, 0
	case v.BegunAt.IsZero() && (past < time.Duration(rule.Steps[0].After) || rule.Require.Enabled()):
		return when(rule.Steps[0].After), max(float64(rule.Steps[0].Share), v.Share)
	case rule.Require.Enabled():
		return nextRequired(v, rule, now, past)
	}
	var late *config.Step // the last one whose time is over and that has not come
	for i, s := range rule.Steps {
		switch over := past >= time.Duration(s.After); {
		case !over && late == nil && float64(s.Share) > v.Share:
			return when(s.After), float64(s.Share)
		case over && (float64(s.Share) > v.Share || v.BegunAt.IsZero()):
			late = &rule.Steps[i]
		}
	}
	if late == nil {
		return time.Time{}, 0
	}
	return when(late.After), float64(late.Share)
}

// nextRequired is Next for a version that has begun and whose hosts have to be seen again before others follow.
func nextRequired(v *catalog.RolledVersion, rule config.Rollout, now time.Time, past time.Duration) (time.Time, float64) {
	s := next(v, rule)
	if float64(s.Share) <= v.Share {
		return time.Time{}, 0
	}
	at := now.Add(time.Duration(s.After) - past)
	if soonest := v.StepAt.Add(time.Duration(rule.Require.Within)); soonest.After(at) {
		at = soonest
	}
	if !at.After(now) {
		return time.Time{}, float64(s.Share)
	}
	return at.UTC().Truncate(time.Second), float64(s.Share)
}
