package plan

import (
	"fmt"
)

// Make decides the layers of the image to serve. It is deterministic and pure, and safe for concurrent use on inputs that
// nobody changes. Errors wrap ErrLimits, ErrInput or ErrNoRoom. Lineage images that cannot be built on are passed over with
// a note.
//
// The layers of the result, applied in order, give Input.Tree. Layer.Entries name what is not an ancestor of something in
// the same layer: the writer adds the ancestors of entries and of whiteouts.
func Make(in Input) (*Layout, error) {
	m, err := newModel(&in)
	if err != nil {
		return nil, err
	}
	images, notes := m.usable()
	p := &planner{model: m, budget: budget(in.Limits.MaxLayers, m.bytes), demand: in.Demand.Rounded(),
		shares: map[*stratum]float64{}}
	history := m.learn(in.History, images)
	p.rates = m.rates(m.evidence(history))
	p.exclusive = p.exclusives(images)
	base, l := p.choose(images)
	if l == nil && base != nil {
		l = p.next(base, images)
	}
	if l == nil {
		l = p.first()
	}
	if len(l.Layers) > in.Limits.MaxLayers {
		return nil, fmt.Errorf("%w: %d layers, %d allowed", ErrNoRoom, len(l.Layers), in.Limits.MaxLayers)
	}
	l.History = history
	l.Notes = append(notes, l.Notes...)
	return l, nil
}

// planner is a model with what it takes to decide.
type planner struct {
	*model
	rates  *rates
	demand Demand // rounded
	shares map[*stratum]float64
	budget int // layers that the layout may have
}

// Small images get a budget of their own: some layers, and one more for so many bytes.
const (
	someLayers    = 16
	bytesPerLayer = 512 << 10
)

// budget returns the number of layers worth having: the limit, and fewer for a small image, as each layer costs a client a
// request and an import.
func budget(maxLayers int, bytes int64) int {
	return int(min(int64(maxLayers), someLayers+bytes/bytesPerLayer))
}
