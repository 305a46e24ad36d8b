package hosts

import (
	"fmt"
	"strings"

	"github.com/strata-oci/strata/proxy/hosts/policy"
	"github.com/strata-oci/strata/proxy/hosts/registries"
)

// others holds the file of names that is about to be made against the host's other ones. What these block stays blocked: a
// name is refused rather than unblocked by the nearer entry that it gets here. What else they say of a name, and which of
// the two counts, is told.
func (s *setup) others() error {
	conf := s.Existing.Registries
	if conf == nil || s.DNS {
		return nil
	}
	if r := firstBlock(conf, s.Name); r != nil {
		return fmt.Errorf("/%s blocks %q (blocked = true), which is the proxy: remove that entry first", r.File, r.Prefix)
	}
	for _, scope := range s.scopes {
		if r := firstBlock(conf, scope.name, s.under(scope.name)); r != nil {
			err := fmt.Errorf("/%s blocks %q (blocked = true), and the entry for %s in %s would unblock it: remove one of them, if "+
				"hosts are to pull it", r.File, r.Prefix, scope.name, s.confFile())
			if !scope.before {
				return err
			}
			s.note("%v", err)
			continue
		}
		s.otherNames(conf, scope.name)
	}
	if s.Proxy.Insecure {
		s.otherNames(conf, s.Name)
	}
	return nil
}

func firstBlock(conf *registries.Conf, names ...string) *registries.Registry {
	for _, name := range names {
		if r := conf.Blocks(name); r != nil {
			return r
		}
	}
	return nil
}

// otherNames tells of entries of other files for a name and what is below it.
func (s *setup) otherNames(conf *registries.Conf, name string) {
	own := strings.TrimPrefix(s.confFile(), "/")
	r := conf.FindName(name)
	switch {
	case r == nil:
	case r.Prefix == name && registries.Counts(r.File, own):
		s.note("/%s has an entry for %s, too, which counts in place of that in %s: remove it, or nothing that is made here has an "+
			"effect on %[2]s", r.File, name, s.confFile())
	case len(r.Mirrors) > 0 || r.Location != r.Prefix || r.Insecure || r.MirrorByDigestOnly:
		s.note("/%s has an entry for %q (%s), which does not count for %s any more: that in %s does", r.File, r.Prefix,
			tells(r), name, s.confFile())
	}
	for i := range conf.Registries {
		if r := &conf.Registries[i]; r.Prefix != name && policy.Within(r.Prefix, name) && !r.Blocked {
			s.note("/%s has an entry for %q, which is nearer than that for %s: its images do not lead to the proxy", r.File,
				r.Prefix,
				name)
		}
	}
}

// tells is what an entry says, for people.
func tells(r *registries.Registry) string {
	var parts []string
	for _, m := range r.Mirrors {
		parts = append(parts, "mirror "+m.Location)
	}
	if r.MirrorByDigestOnly {
		parts = append(parts, "mirror-by-digest-only")
	}
	if r.Location != r.Prefix {
		parts = append(parts, "location "+r.Location)
	}
	if r.Insecure {
		parts = append(parts, "insecure")
	}
	return strings.Join(parts, ", ")
}
