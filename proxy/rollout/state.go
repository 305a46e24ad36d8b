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

// Due returns when a version's next step comes, by the rule; the zero time when none does while things stay as they are, or
// when it is time and the step waits for hosts to be seen again. A time that is not after now is that of a first step which
// comes with the next pull.
func Due(r *catalog.Rollout, i int, rule config.Rollout, now time.Time) time.Time {
	v := &r.Versions[i]
	if r.Held != nil || v.Withdrawn != nil || !v.RevertedAt.IsZero() || v.Complete() {
		return time.Time{}
	}
	past := elapsed(v, rule, now)
	if rule.Require.Enabled() && len(rule.Steps) > 0 && !v.BegunAt.IsZero() {
		s := next(v, rule)
		at := now.Add(time.Duration(s.After) - past)
		if soonest := v.StepAt.Add(time.Duration(rule.Require.Within)); soonest.After(at) {
			at = soonest
		}
		if float64(s.Share) <= v.Share || !at.After(now) {
			return time.Time{}
		}
		return at.UTC().Truncate(time.Second)
	}
	_, begun, next := rule.StepAt(past)
	switch {
	case begun && v.BegunAt.IsZero():
		next = 0
		if len(rule.Steps) > 0 {
			next = time.Duration(rule.Steps[0].After)
		}
	case begun && next == 0:
		return time.Time{}
	}
	return now.Add(next - past).UTC().Truncate(time.Second)
}
