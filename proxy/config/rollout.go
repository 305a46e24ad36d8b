package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rollout says how a tag's new versions reach hosts. The zero value gives them to all at once.
type Rollout struct {
	// Hold is for how long nobody gets a new version by its tag. Steps and First begin after it.
	Hold Duration `yaml:"hold"`
	// Steps are the shares of hosts that get it, ascending. None: all hosts at once.
	Steps []Step `yaml:"steps"`
	// First are networks, as "10.1.0.0/16", and names of users or certificates that get it with the first step.
	First []string `yaml:"first"`
	// Require is which part of the hosts that a step reached have to be seen again, "95% of the step seen again within 2h".
	// Before that no step follows, and where too few are, the roll-out is held. The zero value asks for nothing.
	Require Requirement `yaml:"require"`
}

// Enabled reports whether versions go out in another way than at once.
func (r Rollout) Enabled() bool {
	return r.Hold > 0 || len(r.Steps) > 0 || len(r.First) > 0
}

// Step is a share of hosts from a time on. It is written "5% at 24h".
type Step struct {
	Share Percent
	After Duration
}

// UnmarshalText parses a step.
func (s *Step) UnmarshalText(text []byte) error {
	share, after, ok := strings.Cut(string(text), " at ")
	if !ok {
		return fmt.Errorf("%s is no step: write a share and a time, such as 5%% at 24h", quote(string(text)))
	}
	if err := s.Share.UnmarshalText([]byte(strings.TrimSpace(share))); err != nil {
		return err
	}
	return s.After.UnmarshalText([]byte(strings.TrimSpace(after)))
}

// String returns the step as UnmarshalText reads it.
func (s Step) String() string { return s.Share.String() + " at " + s.After.String() }

// MarshalText returns String.
func (s Step) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Requirement is which part of the hosts that a step reached have to be seen again, and how soon.
type Requirement struct {
	Share  Percent
	Within Duration
}

// seenAgain is what stands between a requirement's share and its time.
const seenAgain = " of the step seen again within "

// Enabled reports whether anything is required.
func (q Requirement) Enabled() bool { return q.Share > 0 }

// UnmarshalText parses a requirement; empty is the zero value.
func (q *Requirement) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*q = Requirement{}
		return nil
	}
	share, within, ok := strings.Cut(string(text), seenAgain)
	if !ok {
		return fmt.Errorf("%s is no requirement: write one such as 95%%%s2h", quote(string(text)), seenAgain)
	}
	if err := q.Share.UnmarshalText([]byte(strings.TrimSpace(share))); err != nil {
		return err
	}
	if q.Share < leastShare || q.Share > 1 {
		return fmt.Errorf("%s is out of range: write %s to 100%%", q.Share, leastShare)
	}
	return q.Within.UnmarshalText([]byte(strings.TrimSpace(within)))
}

// String returns the requirement as UnmarshalText reads it.
func (q Requirement) String() string {
	if !q.Enabled() {
		return ""
	}
	return q.Share.String() + seenAgain + q.Within.String()
}

// MarshalText returns String.
func (q Requirement) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// Bounds on a roll-out.
const (
	mostSteps = 32
	mostFirst = 64
	// leastShare is the smallest share that hosts can be asked for.
	leastShare Percent = 0.01
	// shortestWithin is how soon hosts can be asked to be seen again at least: sooner, it is the same pull.
	shortestWithin = 10 * time.Minute
)

func (v *validator) rollout(key string, r Rollout) {
	v.duration(key+".hold", r.Hold, true)
	if len(r.Steps) > mostSteps {
		v.problem(key+".steps", "has %d entries, more than the limit of %d", len(r.Steps), mostSteps)
		return
	}
	for i, s := range r.Steps {
		item := key + ".steps[" + strconv.Itoa(i) + "]"
		v.duration(item, s.After, true)
		switch {
		case s.Share < 0 || s.Share > 1:
			v.problem(item, "%s is out of range: write 0%% to 100%%", s.Share)
		case i > 0 && (s.Share <= r.Steps[i-1].Share || s.After <= r.Steps[i-1].After):
			v.problem(item, "%s does not follow on %s: each step has a larger share and a later time", s, r.Steps[i-1])
		}
	}
	if n := len(r.Steps); n > 0 && r.Steps[n-1].Share < 1 {
		v.warning(key+".steps", "end at %s, so the rest of the hosts gets a new version by strata release --all only",
			r.Steps[n-1].Share)
	}
	if len(r.First) > 0 && len(r.Steps) == 0 {
		v.problem(key+".first", "is set without steps, so all hosts are first: add steps such as [0%% at 0h, 100%% at 24h]")
	}
	v.first(key+".first", r.First)
}

// require checks what a requirement needs: hosts that are counted, and steps that it can keep from coming.
func (v *validator) require(key string, r Rollout, counted Fleet) {
	if !r.Require.Enabled() {
		return
	}
	v.duration(key, r.Require.Within, false)
	switch within := time.Duration(r.Require.Within); {
	case within < shortestWithin:
		v.problem(key, "%s is shorter than the limit of %s", r.Require.Within, Duration(shortestWithin))
	case !counted.Enabled():
		v.problem(key, "needs hosts that are counted: set fleet.identify to address, user or certificate")
	case within >= time.Duration(counted.Retention):
		v.problem(key, "%s is no shorter than fleet.retention, %s, after which hosts are forgotten", r.Require.Within,
			counted.Retention)
	case len(r.Steps) < 2:
		v.problem(key, "has no step to keep from coming: add steps such as [5%% at 0h, 100%% at 24h]")
	}
}

func (v *validator) first(key string, first []string) {
	if len(first) > mostFirst {
		v.problem(key, "has %d entries, more than the limit of %d", len(first), mostFirst)
		return
	}
	for i, f := range first {
		item := key + "[" + strconv.Itoa(i) + "]"
		_, err := netip.ParsePrefix(f)
		switch {
		case f == "" || len(f) > longestName:
			v.problem(item, "is empty or longer than %d bytes: write a network such as 10.1.0.0/16, or a user's name",
				longestName)
		case err != nil && looksLikeNetwork(f):
			v.problem(item, "%s is no network: write one such as 10.1.0.0/16 or 2001:db8::/48", quote(f))
		case slices.Contains(first[:i], f):
			v.problem(item, "%s is there twice: remove one", quote(f))
		}
	}
}

// looksLikeNetwork reports whether a text that is no network was meant for one: no name of a user has a number after a
// slash.
func looksLikeNetwork(s string) bool {
	_, bits, ok := strings.Cut(s, "/")
	_, err := strconv.Atoi(bits)
	return ok && err == nil
}

// StepAt returns the share of hosts that steps give a version after a time, and when the next step comes; 0 when none does.
// begun is false before the first step. Without steps it is all hosts at once.
func (r Rollout) StepAt(elapsed time.Duration) (share float64, begun bool, next time.Duration) {
	if len(r.Steps) == 0 {
		return 1, elapsed >= 0, 0
	}
	for _, s := range r.Steps {
		if after := time.Duration(s.After); elapsed < after {
			return share, begun, after
		}
		share, begun = float64(s.Share), true
	}
	return share, begun, 0
}
