package rollout

import (
	"slices"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
)

// Schedule is who a log says changed a roll-out by the rule.
const Schedule = "strata"

// What a log calls changes.
const (
	ActionBegin    = "begin"
	ActionStep     = "step"
	ActionHold     = "hold"
	ActionRelease  = "release"
	ActionRollback = "rollback"
)

// skew is by how much the clocks of replicas may differ. A version from further ahead was noted by a clock that was wrong.
const skew = time.Minute

// elapsed is how long a version's steps have been running; negative while it waits for the rule's hold to end.
func elapsed(v *catalog.RolledVersion, rule config.Rollout, now time.Time) time.Duration {
	d := now.Sub(v.MadeAt) - time.Duration(v.PausedSeconds*float64(time.Second))
	if !v.Released {
		d -= time.Duration(rule.Hold)
	}
	return d
}

// Advance lets the versions of a roll-out reach the hosts that the rule gives them by now, and reports whether it changed
// anything. Shares never shrink, whatever the clock says. Where the rule requires it, look is asked which hosts were seen
// again: one step follows on another only once enough were, and the roll-out is held when too few are.
func Advance(r *catalog.Rollout, rule config.Rollout, now time.Time, look Look) (changed bool) {
	for i := range r.Versions {
		v := &r.Versions[i]
		if i == 0 || v.Withdrawn != nil || !v.RevertedAt.IsZero() || r.Held != nil || v.Share >= 1 {
			continue
		}
		if v.MadeAt.After(now.Add(skew)) {
			v.MadeAt, v.PausedSeconds, changed = now.UTC(), 0, true
		}
		share, begun, _ := rule.StepAt(elapsed(v, rule, now))
		if !begun {
			continue
		}
		if rule.Require.Enabled() && len(rule.Steps) > 0 {
			if share = required(r, v, share, rule, now, look); r.Held != nil {
				changed = true
				continue
			}
		}
		changed = reach(r, v, share, rule, now) || changed
	}
	if changed {
		trim(r)
	}
	return changed
}

// reach lets a version reach a share of all hosts and those that are first.
func reach(r *catalog.Rollout, v *catalog.RolledVersion, share float64, rule config.Rollout, now time.Time) (changed bool) {
	action := ActionStep
	if v.BegunAt.IsZero() {
		v.BegunAt, v.StepAt, v.Counted, action, changed = now.UTC(), now.UTC(), true, ActionBegin, true
	}
	for _, f := range rule.First {
		if !slices.Contains(v.First, f) && len(v.First) < catalog.MaxRolloutFirst {
			v.First, changed = append(v.First, f), true
		}
	}
	if share > v.Share {
		v.Share, v.StepAt, changed = share, now.UTC(), true
	} else if action == ActionStep {
		return changed
	}
	what := percent(v.Share) + " of hosts"
	if !rule.Enabled() {
		what += ": no rule has steps for it any longer"
	}
	note(r, catalog.RolloutEvent{At: now, By: Schedule, Action: action, Source: v.SourceDigest, Note: what})
	return changed
}
