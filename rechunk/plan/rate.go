package plan

import (
	"github.com/strata-oci/strata/rechunk/pkgdb"
)

// Time in seconds. Rates are per period, the usual distance between two versions that a host installs; what the lineage
// shows of the real distance corrects them.
const (
	day    = int64(86400)
	period = 14 * day
	window = 365 * day
)

// Strengths of the priors, in observations.
const (
	updateStrength = 3.0
	changeStrength = 3.0
)

// rates are the expected changes from this version to the next.
//
// Floating point is used with care: the language lets a compiler fuse a product and a sum into one rounding, which would
// make layouts depend on the machine. Every product that is added to something is therefore converted explicitly, which
// forbids it.
type rates struct {
	update []float64 // by component: probability that the next version changes it
	change []float64 // by entry: probability that it changes when its component does
	// by entry: for one that is known to change by itself, probability that the next version changes it; else 0
	own []float64
}

// chance returns the probability that the next version changes an entry of a component.
func (r *rates) chance(id, component int32) float64 {
	if p := r.own[id]; p > 0 {
		return p
	}
	return float64(r.update[component] * r.change[id])
}

// A file that changed this often while its component did not, in this share of the versions at least, changes by itself.
const (
	aloneTimes = 2
	aloneShare = 0.25
)

func (m *model) rates(h *evidence) *rates {
	components := m.in.Owners.Components
	r := &rates{update: make([]float64, len(components)), change: make([]float64, m.paths.tree),
		own: make([]float64, m.paths.tree)}
	now := newest(components)
	for c := range components {
		prior := updatePrior(&components[c], now)
		r.update[c] = (float64(updateStrength*prior) + float64(h.updates[c])) / (updateStrength + float64(h.steps[c]))
	}
	for id := range r.change {
		kind := components[m.in.Owners.Of[id]].Kind
		prior := changePrior(kind, classOf(&m.in.Tree.Entries[id]))
		r.change[id] = (float64(changeStrength*prior) + float64(h.changes[id])) / (changeStrength + float64(h.chances[id]))
		c := m.in.Owners.Of[id]
		alone := float64(h.alone[id]) / (changeStrength + float64(h.steps[c]-h.updates[c]))
		if h.alone[id] >= aloneTimes && alone >= aloneShare {
			r.own[id] = float64(r.update[c]*r.change[id]) + float64((1-r.update[c])*min(alone, 1))
		}
	}
	return r
}

// newest returns the newest time that the components speak of: the plan's only clock.
func newest(components []pkgdb.Component) int64 {
	var now int64
	for i := range components {
		now = max(now, components[i].BuildTime)
		if len(components[i].Changes) > 0 {
			now = max(now, components[i].Changes[0])
		}
	}
	return now
}

// updatePrior returns the probability that a component changes in a period, from what its package says of its past.
func updatePrior(c *pkgdb.Component, now int64) float64 {
	switch {
	case c.Kind == pkgdb.Volatile:
		return 0.98
	case c.Kind == pkgdb.Initramfs:
		return 0.9
	case c.Kind == pkgdb.Kernel:
		return 0.7
	case c.Interval > 0:
		return odds(float64(period) / float64(c.Interval))
	case c.Kind == pkgdb.Rest:
		return 0.3
	case len(c.Changes) > 0:
		return changelogRate(c.Changes, now)
	case c.BuildTime > 0:
		// One event, its age: the less there was to see, the nearer to the usual rate.
		return odds(1 / (float64(max(0, now-c.BuildTime))/float64(period) + 5))
	}
	return 0.15
}

// changelogRate counts the entries of the last year against the time they cover, with one entry in ten periods as prior.
// Entries of the same day are one update.
func changelogRate(changes []int64, now int64) float64 {
	n, last := 0, int64(0)
	oldest := now
	for i, t := range changes {
		if t > now || now-t > window {
			continue
		}
		if n == 0 || last-t >= day {
			n++
			last = changes[i]
		}
		oldest = min(oldest, t)
	}
	span := window
	if changes[len(changes)-1] > now-window {
		span = now - oldest // the changelog is younger than the window, or cut
	}
	return odds((float64(n) + 0.5) / (float64(span)/float64(period) + 5))
}

// odds turns an expected count into a probability of at least one, without a function whose last bit depends on the machine.
func odds(x float64) float64 { return x / (1 + x) }

// changePrior returns the probability that a file changes when its component does. Programs carry build identifiers and
// versions; most data and nearly all documentation outlive an update.
func changePrior(k pkgdb.Kind, c class) float64 {
	switch {
	case k == pkgdb.Volatile, k == pkgdb.Initramfs, k == pkgdb.Kernel, k == pkgdb.Large:
		return 0.95
	case c == classProgram:
		return 0.95
	case c == classDoc:
		return 0.15
	}
	return 0.35
}
