package rollout_test

import (
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/rollout"
)

// Time brings a version to more hosts: Advance writes into the record what the rule says by now.
func ExampleAdvance() {
	rule := config.Rollout{Steps: []config.Step{{Share: 0.05}, {Share: 1, After: config.Duration(24 * time.Hour)}}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rollout.New(catalog.RolledVersion{SourceDigest: digest.FromString("old")}, now)
	rollout.Add(r, catalog.RolledVersion{SourceDigest: digest.FromString("new")}, now)

	for _, after := range []time.Duration{0, time.Hour, 24 * time.Hour} {
		changed := rollout.Advance(r, rule, now.Add(after), nil)
		fmt.Println(after, changed, rollout.StateOf(r), config.Percent(r.Versions[len(r.Versions)-1].Share))
	}
	// Output:
	// 0s true stepping 5%
	// 1h0m0s false stepping 5%
	// 24h0m0s true complete 100%
}

// With 0% as the first step only the rule's first get a new version for a while. Pick looks at the record, and at who got
// the version before.
func ExamplePick() {
	rule := config.Rollout{Steps: []config.Step{{}, {Share: 1, After: config.Duration(24 * time.Hour)}},
		First: []string{"canary"}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rollout.New(catalog.RolledVersion{SourceDigest: digest.FromString("old")}, now)
	rollout.Add(r, catalog.RolledVersion{SourceDigest: digest.FromString("new")}, now)

	reach := func(_ int, now bool) (bool, error) { return now, nil } // a memory would be asked, and told
	for _, after := range []time.Duration{0, 24 * time.Hour} {
		rollout.Advance(r, rule, now.Add(after), nil)
		for _, h := range []rollout.Host{{User: "canary"}, {User: "host1"}} {
			i, err := rollout.Pick("ghcr.io/team/os", r, h, reach)
			fmt.Println(after, h.User, r.Versions[i].SourceDigest == digest.FromString("new"), err)
		}
	}
	// Output:
	// 0s canary true <nil>
	// 0s host1 false <nil>
	// 24h0m0s canary true <nil>
	// 24h0m0s host1 true <nil>
}

// With a requirement, one step follows on another only where the hosts of the first came back. Too few hold the roll-out.
func ExampleAdvance_require() {
	rule := config.Rollout{Steps: []config.Step{{Share: 0.05}, {Share: 1, After: config.Duration(24 * time.Hour)}},
		Require: config.Requirement{Share: 0.95, Within: config.Duration(2 * time.Hour)}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rollout.New(catalog.RolledVersion{SourceDigest: digest.FromString("old")}, now)
	rollout.Add(r, catalog.RolledVersion{SourceDigest: digest.FromString("new")}, now)

	look := func(*catalog.RolledVersion, time.Time, time.Duration) (rollout.Seen, bool) { // a memory of hosts would be asked
		return rollout.Seen{Hosts: 50, Back: 40, Overdue: 10, Watched: true}, true
	}
	for _, after := range []time.Duration{0, 3 * time.Hour} {
		rollout.Advance(r, rule, now.Add(after), look)
		fmt.Println(after, rollout.StateOf(r))
	}
	fmt.Println(r.Held.By+":", r.Held.Reason)
	// Output:
	// 0s stepping
	// 3h0m0s held
	// automatic: 10 of 50 hosts that got it were not seen again within 2h0m0s; required are 95%
}
