package plan

// An item above a quarter of the image, and this many bytes, is split: a change to a few of its files would leave, and
// reclaiming would rewrite, too much at once.
const (
	splitAbove = 256 << 20
	splitInto  = 8 // pieces of an eighth of the image
)

// split cuts huge items into pieces in path order. A hardlink group goes where its first member goes.
func (m *model) split(items []item, r *rates) []item {
	var out []item
	for _, it := range items {
		if it.load.bytes < splitAbove || it.load.bytes < m.bytes/4 {
			out = append(out, it)
			continue
		}
		piece := make(map[int32]int, 16) // by hardlink group
		var parts [][]int32
		var size int64
		for _, id := range it.ids {
			if p, ok := piece[m.group[id]]; ok && m.group[id] != none {
				parts[p] = append(parts[p], id)
				continue
			}
			if len(parts) == 0 || size >= m.bytes/splitInto {
				parts, size = append(parts, nil), 0
			}
			last := len(parts) - 1
			parts[last] = append(parts[last], id)
			size += m.weight[id]
			if g := m.group[id]; g != none {
				piece[g] = last
			}
		}
		for _, ids := range parts {
			p := it
			p.ids = ids
			p.load = m.itemLoad(&p, r)
			out = append(out, p)
		}
	}
	return out
}
