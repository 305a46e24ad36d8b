package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb"
)

// layer makes a new layer of a group of items.
func (p *planner) layer(packing *packing, group []int, reason string) Layer {
	l := Layer{Name: p.name(packing, group), Reason: reason}
	for _, n := range group {
		for _, id := range packing.items[n].ids {
			l.Entries = append(l.Entries, int(id))
		}
	}
	slices.Sort(l.Entries)
	load := packing.load(group)
	l.Bytes, l.Heat = load.bytes, load.heat()
	return l
}

// name says in a few words what a group holds.
func (p *planner) name(packing *packing, group []int) string {
	var components []int32
	for _, n := range group {
		components = append(components, packing.items[n].component)
	}
	slices.Sort(components)
	components = slices.Compact(components)
	heat := heatWord(packing.load(group).heat())
	if len(components) == 1 {
		c := &p.in.Owners.Components[components[0]]
		if c.Kind == pkgdb.Package || c.Kind == pkgdb.Custom || c.Kind == pkgdb.Rest {
			return fmt.Sprintf("%s, %s", title(c), heat)
		}
		return title(c)
	}
	what := "components"
	if p.all(components, pkgdb.Package) {
		what = "packages"
	} else if p.all(components, pkgdb.Volatile) {
		return fmt.Sprintf("volatile, %d components", len(components))
	}
	return fmt.Sprintf("%d %s, %s", len(components), what, heat)
}

func (p *planner) all(components []int32, k pkgdb.Kind) bool {
	return !slices.ContainsFunc(components, func(c int32) bool { return p.in.Owners.Components[c].Kind != k })
}

// maxTitle bounds a name: it goes into an image's history, and the ID comes from outside.
const maxTitle = 100

// title is a component's ID without the prefix that says how it was found.
func title(c *pkgdb.Component) string {
	id := c.ID
	if _, rest, ok := strings.Cut(id, "/"); ok && c.Kind != pkgdb.Volatile && c.Kind != pkgdb.Large && rest != "" {
		id = rest
	}
	id = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, id)
	if len(id) > maxTitle {
		id = strings.ToValidUTF8(id[:maxTitle], "") + "…"
	}
	return id
}

func heatWord(heat float64) string {
	switch {
	case heat >= 0.5:
		return "hot"
	case heat >= 0.15:
		return "warm"
	}
	return "cold"
}
