package upstream

import (
	"fmt"

	"github.com/strata-oci/strata/proxy/name"
)

// canonicalRepository checks a repository's name and returns it as the upstream knows it: with "library/" on Docker Hub.
func canonicalRepository(repo name.Repository) (name.Repository, error) {
	host, err := name.ParseHost(repo.Host)
	if err != nil {
		return name.Repository{}, scrub(err)
	}
	parsed, err := name.Parser{}.Repository(host+"/"+repo.Path, "")
	if err != nil {
		return name.Repository{}, scrub(err)
	}
	if parsed.Host != host {
		return name.Repository{}, fmt.Errorf("%w: %q is no repository path", name.ErrInvalid, clean(repo.Path))
	}
	return parsed, nil
}
