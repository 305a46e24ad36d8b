package hosts

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/strata-oci/strata/proxy/hosts/policy"
	"github.com/strata-oci/strata/proxy/hosts/registries"
)

// scope is a host, namespace or repository that leads to the proxy.
type scope struct {
	name       string
	noFallback bool
	// plain says that the registry itself speaks plain HTTP.
	plain bool
	// before says that it comes from the file that was made before.
	before bool
}

// ported reports whether the registry's name has a port. The proxy knows registries without, and signs for that name.
func (s scope) ported() bool {
	host, _, _ := strings.Cut(s.name, "/")
	return portless(host) != host
}

// plain reports whether a registry itself speaks plain HTTP: the proxy says so, or the host allowed it before.
func (s *setup) plain(scope string) bool {
	host, _, _ := strings.Cut(scope, "/")
	if slices.Contains(s.Proxy.Plain, host) || slices.Contains(s.Proxy.Plain, portless(host)) {
		return true
	}
	if s.Existing.Registries == nil {
		return false
	}
	r := s.Existing.Registries.FindName(scope)
	return r != nil && r.Insecure && r.Location == r.Prefix
}

// portless is a host without its port.
func portless(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// before reads what the file that was made before has. What is not of that kind was written by somebody else, and is not
// dropped in silence.
func (s *setup) before() error {
	conf, err := registries.Parse("registries.conf", s.Existing.Names)
	if err != nil {
		return fmt.Errorf("the host's %s, which is made anew: %w; mend or remove it", s.confFile(), err)
	}
	for _, r := range conf.Registries {
		if r.Prefix == s.Name {
			continue // for plain HTTP
		}
		old := scope{name: r.Prefix, noFallback: len(r.Mirrors) == 0, before: true}
		at := r.Location
		if len(r.Mirrors) == 1 {
			at, old.plain = r.Mirrors[0].Location, r.Insecure
		}
		if name, image, err := s.scopeOf(r.Prefix); err != nil || image != "" || name != r.Prefix || len(r.Mirrors) > 1 ||
			at != s.under(name) {
			s.note("the entry for %q in %s is none that leads to this proxy, and goes: put it into a file of another name",
				r.Prefix, s.confFile())
			continue
		}
		if len(s.scopes) >= maxImages {
			return fmt.Errorf("%s has more than %d images", s.confFile(), maxImages)
		}
		s.scopes = append(s.scopes, old)
	}
	return nil
}

// confFile is the path of the file in registries.conf.d.
func (s *setup) confFile() string { return "/etc/containers/registries.conf.d/" + NamesFile(s.Name) }

// addImage adds what was named. It counts more than what was there before.
func (s *setup) addImage(image string) error {
	name, tagged, err := s.scopeOf(image)
	if err != nil {
		return err
	}
	if s.image == "" {
		s.image = tagged
	}
	named := scope{name: name, noFallback: s.NoFallback, plain: s.plain(name)}
	for i, have := range s.scopes {
		switch {
		case have.name == name:
			s.scopes[i] = named
			return nil
		case policy.Within(name, have.name) && (!have.before || have.noFallback == named.noFallback):
			return nil
		}
	}
	s.scopes = slices.DeleteFunc(s.scopes, func(have scope) bool { return policy.Within(have.name, name) })
	s.scopes = append(s.scopes, named)
	return nil
}

// scopeOf reads a host, a namespace, a repository or an image. Of an image with a tag or digest it returns that, too.
func (s *setup) scopeOf(image string) (name, tagged string, err error) {
	wrong := fmt.Errorf("%.200q is no image: write HOST, HOST/NAMESPACE or HOST/REPOSITORY[:TAG] in full, as in "+
		"ghcr.io/ublue-os/bluefin:stable", image)
	host, rest, slashed := strings.Cut(image, "/")
	if len(image) > 512 || !validHost(host) || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return "", "", wrong
	}
	if host == s.Name {
		return "", "", fmt.Errorf("%s is the proxy itself: name the image as its registry does", image)
	}
	name = strings.TrimSuffix(image, "/")
	if slashed && rest != "" {
		named, err := reference.ParseNamed(name)
		if err != nil {
			return "", "", wrong
		}
		if name = named.Name(); !reference.IsNameOnly(named) {
			tagged = named.String()
		}
	}
	return name, tagged, nil
}

// namespaces lists those under which signatures are looked for at the registry: the proxy, what leads to it, and what the
// file that was made before has.
func (s *setup) namespaces() ([]string, error) {
	out := []string{s.Name}
	for _, scope := range s.scopes {
		out = append(out, scope.name)
	}
	before, err := registries.ParseSignatures(AttachmentsFile(s.Name), s.Existing.Signatures)
	if err != nil {
		return nil, fmt.Errorf("the host's /etc/containers/registries.d/%s, which is made anew: %w; mend or remove it",
			AttachmentsFile(s.Name), err)
	}
	for _, namespace := range slices.Sorted(maps.Keys(before.Docker)) {
		n := before.Docker[namespace]
		if n.Lookaside != "" || n.SigStore != "" || n.Attachments == nil || !bool(*n.Attachments) || !plainName(namespace) {
			s.note("the entry for %q in /etc/containers/registries.d/%s was written by somebody else, and goes: put it into a "+
				"file of another name", namespace, AttachmentsFile(s.Name))
		} else if !slices.Contains(out, namespace) {
			out = append(out, namespace)
		}
	}
	return out, nil
}

// plainName reports whether a namespace needs no more than quotes in YAML.
func plainName(s string) bool {
	return len(s) <= 512 && s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("./:@[]*_-", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
