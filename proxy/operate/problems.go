package operate

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/strata-oci/strata/rechunk/legible"
)

// problems lists what keeps the proxy from doing all it is for, the worst first: one line each that says what it means and
// what helps. It is empty while all is well.
func (v *View) problems(s StatusReport) []string {
	var out []string
	if v.Store.Room != nil {
		out = append(out, room(v.Store.Room(), s.Store.LargestBytes)...)
	}
	for _, u := range s.Upstreams {
		out = append(out, u.problems(v.Now())...)
	}
	if s.Edge != nil {
		for _, r := range s.Edge.Roots {
			out = append(out, fmt.Sprintf("the root file system %s is no seed, so layers come whole: %s", r.Root, r.Error))
		}
	}
	if s.Redis != nil && !s.Redis.Up {
		out = append(out, fmt.Sprintf("redis at %s does not answer: each replica goes on alone, and work may be done twice",
			s.Redis.Address))
	}
	return out
}

// room says that the store is full, or will not take what comes next: an image like the largest that is served, which is
// fetched whole where its source has it in one layer.
func room(left, largest int64) []string {
	const remedy = "run strata gc, raise quota or lower min_free, or give its filesystem more space"
	switch {
	case left <= 0:
		return []string{"the store is full: what is stored is served, new images pass through and are not kept; " + remedy}
	case left < largest:
		return []string{fmt.Sprintf("the store is nearly full: it takes %s more, and the largest image has %s, so that a next "+
			"version may pass through and not be kept; %s", humanize.Bytes(uint64(left)), humanize.Bytes(uint64(largest)),
			remedy)}
	}
	return nil
}

// problems says what is wrong with an upstream.
func (u UpstreamReport) problems(now time.Time) []string {
	const served = "what is stored is served, and tags stay as they were"
	var out []string
	switch {
	case u.Breaker == "open":
		out = append(out, fmt.Sprintf("%s is out of reach and left alone for some seconds: %s", u.Host, served))
	case u.Breaker == "half-open":
		out = append(out, fmt.Sprintf("%s was out of reach when it was asked last, and the next request tries again: %s",
			u.Host,
			served))
	case u.Failing > 0:
		out = append(out, fmt.Sprintf("%s did not answer when it was asked last (%d in a row): %s", u.Host, u.Failing,
			served))
	}
	if u.PausedUntil.After(now) {
		out = append(out, fmt.Sprintf("%s limits the rate until %s: %s", u.Host, u.PausedUntil.Format(time.RFC3339), served))
	}
	if u.BudgetLow {
		out = append(out, fmt.Sprintf("%s grants %s: tags are not refreshed, to keep them for content; an account "+
			"there gets more", u.Host, legible.Count(u.BudgetRemaining, "more request")))
	}
	return out
}
