package config_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/strata-oci/strata/proxy/config"
)

// A configuration is a file, variables, or both. What is wrong comes all at once, each with its place.
func ExampleLoad() {
	dir, err := os.MkdirTemp("", "config-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "strata.yml")
	text := "storage:\n  filesystem: {rootdirectory: /srv/strata}\nrepositories:\n- {match: ghcr.io/ublue-os/*, keep_versions: 4}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	c, warnings, err := config.Load(file, []string{"STRATA_LISTEN=:5000", "STRATA_QUOTA=200GiB"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Listen, c.Quota, len(warnings))
	fmt.Println(c.WorkDirectory())
	fmt.Println(c.Rule("ghcr.io/ublue-os/bluefin").KeepVersions, c.Rule("quay.io/fedora/fedora-bootc").KeepVersions)

	_, _, err = config.Load("", []string{"STRATA_JOBS=none", "STRATA_LISTNE=:5000"})
	fmt.Println(err)
	// Output:
	// :5000 200GiB 0
	// /srv/strata-work
	// 4 16
	// environment variable STRATA_JOBS: jobs: "none" is no whole number of at most 32 bits
	// environment variable STRATA_LISTNE: sets no key that exists: did you mean STRATA_LISTEN?
}

// The first rule that fits a repository says who may pull from it.
func ExampleAccess_Allows() {
	a := config.Access{
		Groups: map[string][]string{"hosts": {"host1", "host2"}},
		Rules: []config.AccessRule{
			{Match: "ghcr.io/fleet/**", Allow: []string{"@hosts"}, Deny: []string{"host2"}},
			{Match: "quay.io", Allow: []string{config.Everybody}},
		},
	}
	fmt.Println(a.Allows("host1", nil, "ghcr.io/fleet/os"), a.Allows("host2", nil, "ghcr.io/fleet/os"))
	fmt.Println(a.Allows("", nil, "quay.io/fedora/fedora-bootc"), a.Allows("host1", nil, "docker.io/library/alpine"))
	// Output:
	// true false
	// true false
}
