package plan

import (
	"cmp"
	"slices"
)

// maxSeeds bounds the groups that are merged pairwise, which takes time with their cube.
const maxSeeds = 160

// sizes are the estimated sizes, in bytes, that layers are to have.
type sizes struct {
	// small is the size below which a layer is not worth a client's request and import, unless it holds what changes in
	// every version.
	small int64
	// large is the size above which a layer is costly to write again when max_stale asks for it: stale bytes are reclaimed
	// in whole layers, so that a few large ones would make a fleet fetch much to reclaim little.
	large int64
}

// sizesFor returns the sizes for an image: a layer below a thousandth of it is small, between 32 and 256 KiB, so that a
// small image does not become a handful.
func sizesFor(image int64) sizes {
	small := min(max(image/1024, 32<<10), 256<<10)
	return sizes{small: small, large: max(2*small, image/16)}
}

// packing is a hierarchy of groups of items: each step merges the two groups that waste least together.
type packing struct {
	items []item
	sizes sizes
	seeds [][]int // items of each leaf group of the hierarchy
	steps []merge
}

// merge puts group b into group a.
type merge struct {
	a, b int
	cost float64 // additional waste
	must bool    // one of them is too small for a layer
	over bool    // together they are large
	last bool    // they are of domains that are kept apart
}

// cluster is a group while the hierarchy is built.
type cluster struct {
	load   load
	domain domain
	alone  bool // of any size, as it changes in every version
	gone   bool
	best   int // cheapest partner with a higher number
	key    mergeKey
}

// mergeKey orders merges: too small groups first, then within a domain, what is large together after what is not, then by
// additional waste.
type mergeKey struct {
	rank int
	cost float64
}

func (k mergeKey) less(o mergeKey) bool {
	return k.rank < o.rank || k.rank == o.rank && k.cost < o.cost
}

// The ranks of mergeKey.
const (
	tooSmall = iota
	ordinarily
	oversized
	acrossDomains
)

// newPacking builds the hierarchy over items, which are sorted by domain and heat. Large groups are made only when nothing
// else can be merged within a domain.
func newPacking(items []item, sizes sizes) *packing {
	p := &packing{items: items, sizes: sizes, seeds: seed(items, sizes.small/8)}
	clusters := make([]cluster, len(p.seeds))
	for i, s := range p.seeds {
		c := &clusters[i]
		c.domain = items[s[0]].domain
		for _, n := range s {
			c.load = c.load.plus(items[n].load)
		}
		c.alone = c.domain == volatile || c.domain.special() && c.load.bytes >= sizes.small/4
	}
	for i := range clusters {
		p.findBest(clusters, i)
	}
	for range len(clusters) - 1 {
		p.steps = append(p.steps, p.mergeBest(clusters))
	}
	return p
}

// seed joins neighbours among the small items until there are few enough groups.
func seed(items []item, limit int64) [][]int {
	for ; ; limit *= 2 {
		var groups [][]int
		var size int64
		for i := range items {
			small := items[i].load.bytes < limit
			fits := len(groups) > 0 && size < limit && small
			if fits && items[i].domain == items[i-1].domain {
				groups[len(groups)-1] = append(groups[len(groups)-1], i)
				size += items[i].load.bytes
				continue
			}
			groups = append(groups, []int{i})
			size = items[i].load.bytes
		}
		if len(groups) <= maxSeeds || limit > 1<<50 {
			return groups
		}
	}
}

// apart reports whether a group is worth a layer apart from other domains.
func (p *packing) apart(c *cluster) bool {
	return c.alone || c.domain == exclusive && c.load.bytes >= p.sizes.small/4
}

func (p *packing) keyOf(a, b *cluster) mergeKey {
	k := mergeKey{rank: ordinarily, cost: a.load.plus(b.load).waste() - a.load.waste() - b.load.waste()}
	switch {
	case a.domain != b.domain && (p.apart(a) || p.apart(b)):
		k.rank = acrossDomains
	case !a.alone && a.load.bytes < p.sizes.small, !b.alone && b.load.bytes < p.sizes.small:
		k.rank = tooSmall
	case a.domain != b.domain:
		k.rank = acrossDomains
	case !a.domain.special() && a.load.bytes+b.load.bytes > p.sizes.large:
		k.rank = oversized
	}
	return k
}

func (p *packing) findBest(clusters []cluster, i int) {
	c := &clusters[i]
	c.best = -1
	for j := i + 1; j < len(clusters); j++ {
		if clusters[j].gone {
			continue
		}
		if k := p.keyOf(c, &clusters[j]); c.best < 0 || k.less(c.key) {
			c.best, c.key = j, k
		}
	}
}

func (p *packing) mergeBest(clusters []cluster) merge {
	at := -1
	for i := range clusters {
		c := &clusters[i]
		if !c.gone && c.best >= 0 && (at < 0 || c.key.less(clusters[at].key)) {
			at = i
		}
	}
	a, b := &clusters[at], &clusters[clusters[at].best]
	step := merge{a: at, b: a.best, cost: a.key.cost, must: a.key.rank == tooSmall, over: a.key.rank == oversized,
		last: a.key.rank == acrossDomains}
	if b.alone && !a.alone {
		a.domain, a.alone = b.domain, true
	}
	a.load = a.load.plus(b.load)
	b.gone = true
	for i := range clusters {
		c := &clusters[i]
		switch {
		case c.gone || i > step.b:
		case i == at || c.best == step.a || c.best == step.b:
			p.findBest(clusters, i)
		case i < at:
			if k := p.keyOf(c, a); k.less(c.key) {
				c.best, c.key = at, k
			}
		}
	}
	return step
}

// natural returns the number of groups at which merging on would waste more than a layer is worth, or make a large group.
func (p *packing) natural(worth float64) int {
	n := len(p.seeds)
	for _, s := range p.steps {
		if s.last || s.over || !s.must && s.cost > worth {
			break
		}
		n--
	}
	return n
}

// squeeze returns the additional waste of going from n groups to fewer.
func (p *packing) squeeze(from, to int) float64 {
	var sum float64
	for i := len(p.seeds) - from; i < len(p.seeds)-to && i < len(p.steps); i++ {
		sum += max(0, p.steps[i].cost)
	}
	return sum
}

// cut returns the hierarchy at n groups or, when there are fewer, all: the items of each, coldest group first.
func (p *packing) cut(n int) [][]int {
	groups := make([][]int, len(p.seeds))
	for i, s := range p.seeds {
		groups[i] = slices.Clone(s)
	}
	for i := 0; i < len(p.steps) && len(p.seeds)-i > max(n, 1); i++ {
		s := p.steps[i]
		groups[s.a] = append(groups[s.a], groups[s.b]...)
		groups[s.b] = nil
	}
	groups = slices.DeleteFunc(groups, func(g []int) bool { return len(g) == 0 })
	for _, g := range groups {
		slices.Sort(g)
	}
	slices.SortFunc(groups, func(a, b []int) int {
		la, lb := p.load(a), p.load(b)
		return cmp.Or(cmp.Compare(la.heat(), lb.heat()), cmp.Compare(a[0], b[0]))
	})
	return groups
}

func (p *packing) load(group []int) load {
	var l load
	for _, n := range group {
		l = l.plus(p.items[n].load)
	}
	return l
}
