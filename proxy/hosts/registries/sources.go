package registries

import (
	"fmt"
	"slices"

	"github.com/distribution/reference"
)

// Source is a place that a client asks for an image.
type Source struct {
	Named    reference.Named
	Insecure bool
	Mirror   bool
	// File is where that stands; "" without an entry.
	File string
}

// Skipped is a place that is not asked.
type Skipped struct {
	Location, File string
	// Why names the setting.
	Why    string
	Mirror bool
}

// Sources lists the places in the order in which they are asked, and the mirrors that are not.
func (c *Conf) Sources(named reference.Named) ([]Source, []Skipped, error) {
	r := c.Find(named)
	if r == nil {
		return []Source{{Named: named}}, nil, nil
	}
	_, byDigest := named.(reference.Canonical)
	var sources []Source
	var skipped []Skipped
	for _, e := range append(slices.Clone(r.Mirrors), r.Endpoint) {
		mirror := len(sources)+len(skipped) < len(r.Mirrors)
		if why := r.skips(e, byDigest); mirror && why != "" {
			skipped = append(skipped, Skipped{e.Location, r.File, why, true})
			continue
		}
		at, err := r.rewrite(e.Location, named)
		if err != nil {
			return nil, nil, err
		}
		// It is the place that may be blocked, not the name: a name with mirrors whose registry is blocked comes from those.
		if blocked := c.Find(at); blocked != nil && blocked.Blocked {
			skipped = append(skipped, Skipped{at.Name(), blocked.File, fmt.Sprintf("blocked = true for %q", blocked.Prefix),
				mirror})
			continue
		}
		sources = append(sources, Source{at, e.Insecure, mirror, r.File})
	}
	return sources, skipped, nil
}

// skips says why a mirror is not asked, or "".
func (r *Registry) skips(m Endpoint, byDigest bool) string {
	switch {
	case r.MirrorByDigestOnly && !byDigest:
		return "mirror-by-digest-only = true, and the image is pulled by tag"
	case m.PullFromMirror == "digest-only" && !byDigest:
		return `pull-from-mirror = "digest-only", and the image is pulled by tag`
	case m.PullFromMirror == "tag-only" && byDigest:
		return `pull-from-mirror = "tag-only", and the image is pulled by digest`
	}
	return ""
}

func (r *Registry) rewrite(location string, named reference.Named) (reference.Named, error) {
	if location == "" {
		return named, nil
	}
	at, err := reference.ParseNamed(location + named.String()[matching(named.Name(), r.Prefix):])
	if err != nil {
		return nil, fmt.Errorf("/%s: %s with the location %q makes no name: %w", r.File, named, location, err)
	}
	return at, nil
}
