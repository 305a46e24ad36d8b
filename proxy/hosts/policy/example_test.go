package policy_test

import (
	"fmt"

	"github.com/distribution/reference"

	"github.com/strata-oci/strata/proxy/hosts/policy"
)

// A fleet's policy takes the proxy's key beside the publisher's.
func Example() {
	p, err := policy.Parse([]byte(`{
		"default": [{"type": "reject"}],
		"transports": {"docker": {"ghcr.io/ublue-os": [{
			"type": "sigstoreSigned", "keyPath": "/etc/pki/containers/ublue-os.pub",
			"signedIdentity": {"type": "matchRepository"}}]}}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	p, _ = p.Trust(policy.Grant{Scope: "ghcr.io/ublue-os/bluefin", Paths: []string{"/etc/pki/containers/strata.pub"}})
	image, err := reference.ParseNormalizedNamed("ghcr.io/ublue-os/bluefin:stable")
	if err != nil {
		fmt.Println(err)
		return
	}
	entry := p.Find(image)
	fmt.Println(entry)
	fmt.Println(entry.Requirements[0].KeyPaths)
	fmt.Println(entry.Requirements[0].Identity.Accepts(image, "ghcr.io/ublue-os/bluefin"))
	// Output:
	// the entry "ghcr.io/ublue-os/bluefin" of "docker"
	// [/etc/pki/containers/ublue-os.pub /etc/pki/containers/strata.pub]
	// true
}
