// Package nametest makes the names that tests ask for.
package nametest

import "github.com/strata-oci/strata/proxy/name"

// Repository parses "host/path". It panics when that is no repository's name: a test that says so is wrong.
func Repository(full string) name.Repository {
	r, err := name.Parser{}.Repository(full, "")
	if err != nil {
		panic(err)
	}
	return r
}
