package plan

import (
	"cmp"
	"slices"

	"github.com/strata-oci/strata/rechunk/pkgdb"
)

// domain keeps apart what must not share a layer as long as there is room.
type domain uint8

const (
	ordinary  domain = iota
	exclusive        // ordinary, but of no use to other variants
	kernel
	initramfs
	volatile
)

// special reports whether a domain's files change in another way than those of packages.
func (d domain) special() bool { return d != ordinary && d != exclusive }

func domainOf(k pkgdb.Kind) domain {
	switch k {
	case pkgdb.Kernel:
		return kernel
	case pkgdb.Initramfs:
		return initramfs
	case pkgdb.Volatile:
		return volatile
	}
	return ordinary
}

// item is what is never split in packing: the files of one component that are about equally likely to change with it, or a
// piece of them when they are a large part of the image.
type item struct {
	component int32
	domain    domain
	itself    bool    // they change by themselves, whether their component does or not
	ids       []int32 // entries, hardlink groups whole
	load      load
}

// bands are the lower bounds of the probabilities of change that make up one item.
var bands = [...]float64{0.6, 0.25, 0}

// items sorts leaves into items. A hardlink group goes where its first member goes.
func (m *model) items(ids []int32, r *rates) []item {
	type key struct {
		component int32
		band      int32
		exclusive bool
	}
	keyOf := func(id int32) key {
		if g := m.group[id]; g != none {
			id = m.groups[g][0]
		}
		only := m.exclusive != nil && m.exclusive[id]
		if r.own[id] > 0 {
			return key{m.in.Owners.Of[id],
				int32(slices.IndexFunc(bands[:], func(b float64) bool { return r.own[id] >= b })) - int32(len(bands)), only}
		}
		f := r.change[id]
		return key{m.in.Owners.Of[id], int32(slices.IndexFunc(bands[:], func(b float64) bool { return f >= b })), only}
	}
	keys := make(map[key]int, 64)
	var items []item
	for _, id := range ids {
		k := keyOf(id)
		n, ok := keys[k]
		if !ok {
			n = len(items)
			keys[k] = n
			it := item{component: k.component, domain: domainOf(m.in.Owners.Components[k.component].Kind)}
			if it.itself = k.band < 0; it.itself && r.own[id] >= bands[0] {
				it.domain = volatile
			}
			if it.domain == ordinary && k.exclusive {
				it.domain = exclusive
			}
			items = append(items, it)
		}
		items[n].ids = append(items[n].ids, id)
	}
	for i := range items {
		items[i].load = m.itemLoad(&items[i], r)
	}
	items = m.split(items, r)
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.domain, b.domain), cmp.Compare(b.load.heat(), a.load.heat()),
			cmp.Compare(a.component, b.component), cmp.Compare(a.ids[0], b.ids[0]))
	})
	return items
}

// itemLoad weighs an item by what is expected of its component or, if its files change by themselves, of them.
func (m *model) itemLoad(it *item, r *rates) load {
	if it.itself {
		return m.load(it.ids, 1, r.own)
	}
	return m.load(it.ids, r.update[it.component], r.change)
}

// load describes the expected change of some bytes by three moments, which add up when independent bytes are put together:
// with size s, probability of change p, and files that change together by component,
//
//	hot  = Σ s·p
//	cold = Σ s·(1−p)
//	tied = the part of hot·cold that cannot happen, because bytes that change together never lie half stale
type load struct {
	hot, cold, tied float64
	bytes           int64
}

func (m *model) load(ids []int32, update float64, change []float64) load {
	var l load
	var f float64
	for _, id := range ids {
		w := float64(m.weight[id])
		l.bytes += m.weight[id]
		f += float64(w * change[id])
	}
	l.hot = float64(update * f)
	l.cold = float64(l.bytes) - l.hot
	// Files i and j of one component: P(i changes, j stays) = q·fi·(1−fj) where independence says q·fi·(1−q·fj).
	l.tied = float64(float64(f*f) * float64(update*(1-update)))
	return l
}

func (l load) plus(o load) load {
	return load{l.hot + o.hot, l.cold + o.cold, l.tied + o.tied, l.bytes + o.bytes}
}

// waste is the expected harmonic share of bytes that an update leaves half stale: E[stale·live/all]. It is zero for
// bytes that change as one and grows with size and with the mixture of fates.
func (l load) waste() float64 {
	all := l.hot + l.cold
	if all <= 0 {
		return 0
	}
	w := (float64(l.hot*l.cold) - l.tied) / all
	return max(w, 0)
}

// heat is the mean probability of change of the bytes.
func (l load) heat() float64 {
	if all := l.hot + l.cold; all > 0 {
		return l.hot / all
	}
	return 0
}
