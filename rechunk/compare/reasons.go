package compare

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/legible"
)

// inferred says why a layer was written, by what it holds.
func (l *LayerBytes) inferred() string {
	switch same := l.FilesUnchanged + l.FilesHidden; {
	case l.FilesChanged == 0 && same == 0:
		return "directories or removals only"
	case l.FilesChanged == 0:
		return "nothing in it changed: it was put together anew"
	case same == 0:
		return "changed"
	default:
		return "changed, with " + legible.Count(same, "unchanged file")
	}
}

// explain says of each component why it is sent.
func (out *Comparison) explain(parts map[string]*ComponentBytes) {
	because := map[digest.Digest]string{}
	for _, l := range out.Layers {
		because[l.Digest] = l.Because
	}
	for _, p := range parts {
		var others []string
		for _, d := range p.Layers {
			if c := because[d]; c != "" && c != p.Component && !slices.Contains(others, c) {
				others = append(others, c)
			}
		}
		slices.Sort(others)
		p.Why = p.why(others)
	}
}

// why says why a component is sent; others changed in the same layers.
func (p *ComponentBytes) why(others []string) string {
	with := ""
	switch n := len(others); {
	case n == 1:
		with = " with " + others[0]
	case n > 1:
		with = " with " + others[0] + " and " + legible.Count(n-1, "other")
	}
	switch {
	case len(p.Layers) == 0 && p.FilesChanged > 0:
		return "changed; clients have it in a layer already"
	case p.FilesChanged > 0 && p.FilesUnchanged == 0:
		return "changed"
	case p.FilesChanged > 0:
		return "changed, and " + legible.Count(p.FilesUnchanged, "unchanged file") + " in the same layers"
	case with != "":
		return "unchanged, in a layer" + with
	}
	return "unchanged, in a layer that was put together anew"
}

// Planned replaces what was inferred of the layers' reasons by what the plan of the new image says.
func (out *Comparison) Planned(p rechunk.PlanRecord) {
	out.NoiseKept = p.NoiseKept
	for i := range out.Layers {
		l := &out.Layers[i]
		for _, planned := range p.Layers {
			if planned.Digest != l.Digest {
				continue
			}
			switch {
			case planned.Reason != "":
				l.Reason = planned.Reason
			case planned.Kept:
				l.Reason = "kept from an earlier image, which the client does not have"
			}
		}
	}
	out.Dropped = p.Dropped
}
