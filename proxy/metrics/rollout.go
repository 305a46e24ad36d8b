package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// rollouts counts how versions reach hosts.
type rollouts struct {
	answers, changes *prometheus.CounterVec
}

func newRollouts(f promauto.Factory) rollouts {
	return rollouts{
		answers: f.NewCounterVec(counter("rollout_answers_total",
			"Answers for tags with a roll-out, by the version that the host got."), []string{"version"}),
		changes: f.NewCounterVec(counter("rollout_changes_total", "Changes of roll-outs, by the rule or by hand."),
			[]string{"action"}),
	}
}

// RolledOut counts an answer for a tag with a roll-out.
func (m *Metrics) RolledOut(newest bool) {
	if m == nil {
		return
	}
	version := "earlier"
	if newest {
		version = "newest"
	}
	m.rollouts.answers.WithLabelValues(version).Inc()
}

// RolloutChanged counts a change of a roll-out.
func (m *Metrics) RolloutChanged(action string) {
	if m == nil {
		return
	}
	if !slices.Contains([]string{"begin", "step", "hold", "release", "rollback"}, action) {
		action = other
	}
	m.rollouts.changes.WithLabelValues(action).Inc()
}
