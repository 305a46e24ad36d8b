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
		changed := rollout.Advance(r, rule, now.Add(after))
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
		rollout.Advance(r, rule, now.Add(after))
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
