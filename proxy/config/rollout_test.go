package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRolloutProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"steps: [5%]":                             `rollout.steps[0]: "5%" is no step: write a share and a time`,
		"steps: [5 at 0h]":                        `"5" is no percentage`,
		"steps: [5% at noon]":                     `"noon" is no length of time`,
		"steps: [50% at 0h, 50% at 1h]":           "steps[1]: 50% at 1h0m0s does not follow on 50% at 0s: each step has",
		"steps: [5% at 2h, 50% at 1h]":            "steps[1]: 50% at 1h0m0s does not follow on 5% at 2h0m0s",
		"steps: [101% at 0h]":                     "steps[0]: 101% is out of range: write 0% to 100%",
		"steps: [5% at -1h]":                      "steps[0]: -1h0m0s is negative",
		"hold: -1h":                               "rollout.hold: -1h0m0s is negative",
		"hold: 30y":                               `"30y" is no length of time`,
		"first: [10.1.0.0/16]":                    "rollout.first: is set without steps",
		"steps: [1% at 0h], first: [10.1.0.0/64]": `first[0]: "10.1.0.0/64" is no network`,
		"steps: [1% at 0h], first: ['']":          "first[0]: is empty or longer than 255 bytes",
		"steps: [1% at 0h], first: [a, a]":        `first[1]: "a" is there twice: remove one`,
		"stages: []":                              "stages",

		"require: 95% within 2h":                          `"95% within 2h" is no requirement: write one such as 95% of`,
		"require: 0% of the step seen again within 2h":    "require: 0% is out of range: write 1% to 100%",
		"require: 101% of the step seen again within 2h":  "require: 101% is out of range",
		"require: most of the step seen again within 2h":  `"most" is no percentage`,
		"require: 95% of the step seen again within noon": `"noon" is no length of time`,
	} {
		_, _, err := parse("c.yml", []byte("repositories: [{match: '**', rollout: {"+text+"}}]\n"), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// What is asked of hosts needs hosts that are counted, for long enough, and steps that it can keep from coming.
func TestRequire(t *testing.T) {
	t.Parallel()
	const counted = "fleet: {identify: address, retention: 2h}\nrepositories: [{match: '**', rollout: {%s}}]\n"
	load := func(rollout string) (*Config, error) {
		c, _, err := parse("c.yml", fmt.Appendf(nil, counted, rollout), nil)
		return c, err
	}
	const hour = "steps: [5% at 0h, 100% at 1h], require: 95% of the step seen again within "
	for text, want := range map[string]string{
		"steps: [5% at 0h], require: 95% of the step seen again within 1h": "require: has no step to keep from coming",
		hour + "2h":  "no shorter than fleet.retention, 2h0m0s",
		hour + "9m":  "9m0s is shorter than the limit of 10m0s",
		hour + "-1h": "-1h0m0s is negative",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
	_, _, err := parse("c.yml", []byte("repositories: [{match: '**', rollout: {"+hour+"2h}}]\n"), nil)
	const uncounted = "rollout.require: needs hosts that are counted: set fleet.identify to address, user or certificate"
	if err == nil || !strings.Contains(err.Error(), uncounted) {
		t.Errorf("hosts are not counted: %v", err)
	}
	c, err := load("steps: [5% at 0h, 100% at 1h], require: 99.5% of the step seen again within 90m")
	if err != nil {
		t.Fatal(err)
	}
	r := c.Rule("ghcr.io/ublue-os/bluefin").Rollout.Require
	if !r.Enabled() || r.Within != Duration(90*time.Minute) || r.String() != "99.5% of the step seen again within 1h30m0s" {
		t.Errorf("%s", r)
	}
	if r = DefaultRule().Rollout.Require; r.Enabled() || r.String() != "" {
		t.Errorf("by default: %s", r)
	}
}

func TestRollout(t *testing.T) {
	t.Parallel()
	c, warnings, err := parse("c.yml", []byte(`repositories:
  - match: ghcr.io/ublue-os/*
    rollout: {hold: 12h, steps: [5% at 0h, 50% at 24h, 100% at 48h], first: [10.1.0.0/16, canary]}
  - match: "**"
    rollout: {steps: [5% at 1h]}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "repositories[1].rollout.steps: end at 5%") {
		t.Errorf("warnings %v", warnings)
	}
	r := c.Rule("ghcr.io/ublue-os/bluefin").Rollout
	if !r.Enabled() || len(r.First) != 2 {
		t.Errorf("%+v", r)
	}
	for _, tt := range []struct {
		elapsed time.Duration
		share   float64
		begun   bool
		next    time.Duration
	}{
		{-1, 0, false, 0}, {0, 0.05, true, 24 * time.Hour}, {24*time.Hour - 1, 0.05, true, 24 * time.Hour},
		{24 * time.Hour, 0.5, true, 48 * time.Hour}, {1000 * time.Hour, 1, true, 0},
	} {
		share, begun, next := r.StepAt(tt.elapsed)
		if tt.elapsed < 0 {
			next = 0
		}
		if share != tt.share || begun != tt.begun || next != tt.next {
			t.Errorf("after %s: %g, %t, next %s", tt.elapsed, share, begun, next)
		}
	}
	if d := DefaultRule().Rollout; d.Enabled() {
		t.Errorf("by default: %+v", d)
	}
	if share, begun, _ := (Rollout{}).StepAt(0); share != 1 || !begun {
		t.Errorf("without steps: %g, %t", share, begun)
	}
}

// What a step accepts it writes in a form that it accepts again, with the same meaning.
func FuzzStep(f *testing.F) {
	for _, seed := range []string{"5% at 24h", " 100 %  at  2d ", "0.1% at 0", "-1% at -1h", "5% at 1h at 2h",
		"5% at", "1e308% at 1h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again Step
		if s.UnmarshalText([]byte(text)) != nil {
			return
		}
		err := again.UnmarshalText([]byte(s.String()))
		if err != nil || again.String() != s.String() || again.After != s.After {
			t.Errorf("%q: %s, then %s, %v", text, s, again, err)
		}
	})
}

// What a requirement accepts it writes in a form that it accepts again, with the same meaning.
func FuzzRequirement(f *testing.F) {
	for _, seed := range []string{"", "95% of the step seen again within 2h", "100 %  of the step seen again within  1d ",
		"0.1% of the step seen again within 1h of the step seen again within 2h", "-1% of the step seen again within 1h"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var q, again Requirement
		if q.UnmarshalText(text) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(q.String())); err != nil || again.String() != q.String() ||
			again.Within != q.Within {
			t.Errorf("%q is %v, written %s and read as %v, %v", text, q, q, again, err)
		}
	})
}
