package plan

import (
	"fmt"
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// image is a lineage image whose layers are matched against the tree.
type image struct {
	position int    // in Input.Lineage
	series   string // which variant it is of
	layers   []*stratum
}

// usable returns the images that can be built on, newest first, and a note for each other one.
func (m *model) usable() (images []image, notes []string) {
	for i := range m.in.Lineage {
		img, why := m.image(i)
		if why != "" {
			notes = append(notes, fmt.Sprintf("lineage image %s passed over: %s", m.in.Lineage[i].Digest, why))
			continue
		}
		images = append(images, img)
	}
	return images, notes
}

func (m *model) image(position int) (image, string) {
	in := &m.in.Lineage[position]
	img := image{position: position, series: in.Series}
	if len(in.Layers) == 0 {
		return img, "no layers"
	}
	for k := range in.Layers {
		s := m.stratum(&in.Layers[k])
		if s.broken != "" {
			return img, fmt.Sprintf("layer %s %s", in.Layers[k].Digest, s.broken)
		}
		for _, below := range img.layers {
			if below == s {
				return img, fmt.Sprintf("layer %s occurs twice", in.Layers[k].Digest)
			}
		}
		img.layers = append(img.layers, s)
	}
	return img, m.conflict(img.layers)
}

// conflict says which path is a directory in one layer and something else in another: no layout has that, and with it layers
// would hide more than what they name.
func (m *model) conflict(layers []*stratum) string {
	const directory, other = 1, 2
	kinds := make([]uint8, len(m.paths.name))
	for _, l := range layers {
		for i, id := range l.ids {
			if l.prior.Index.Entries[i].Kind == tree.Dir {
				kinds[id] |= directory
			} else {
				kinds[id] |= other
			}
			if kinds[id] == directory|other {
				return fmt.Sprintf("%q is a directory in one layer and not in another", m.paths.name[id])
			}
		}
	}
	return ""
}

// choose returns the image to build on, or nil when none has anything worth keeping. When an image is the tree already, it
// returns the layout that keeps all of it instead.
func (p *planner) choose(images []image) (*image, *Layout) {
	costs := make([]int64, len(images))
	least := p.bytes
	for i := range images {
		s := p.newStack(images[i].layers)
		if l := p.unchanged(s, &images[i]); l != nil {
			return nil, l
		}
		s.dropUnfit()
		costs[i] = s.missingBytes()
		if len(s.layers) == 0 {
			costs[i] = p.bytes + 1
		}
		least = min(least, costs[i])
	}
	for i := range images {
		// Clients have the newest one most likely: an older one must be clearly better.
		if costs[i] <= p.bytes && costs[i]-least <= least/50+64<<10 {
			return p.rather(&images[i], images), nil
		}
	}
	return nil, nil
}

// rather returns the newest image of the series in place of a sibling that leaves less to write, when its clients fetch less
// that way: the sibling may hold much that is to be reclaimed, and what it has can be borrowed.
func (p *planner) rather(sibling *image, images []image) *image {
	if sibling.series == p.in.Series {
		return sibling
	}
	i := slices.IndexFunc(images, func(img image) bool { return img.series == p.in.Series })
	if i < 0 || p.cost(&images[i], images) > p.cost(sibling, images) {
		return sibling
	}
	return &images[i]
}

// cost estimates what clients fetch for a version on top of an image: what is missing, and of its layers and borrowed ones
// those that clients of the series do not have.
func (p *planner) cost(base *image, images []image) int64 {
	s := p.newStack(base.layers)
	s.dropUnfit()
	p.borrow(s, images)
	p.reclaim(s)
	n := s.missingBytes()
	for _, l := range s.layers {
		n += l.prior.Size - int64(float64(l.prior.Size)*p.held(l))
	}
	return n
}

// dropUnfit takes out the layers that cannot be kept for this tree, and those that it has no use for.
func (s *stack) dropUnfit() {
	for k := len(s.layers) - 1; k >= 0; k-- {
		if s.layers[k].fault != "" {
			s.drop(k, WhyHeader)
		}
	}
	s.dropDead()
}
