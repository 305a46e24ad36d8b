package plan

import (
	"math/bits"

	"github.com/strata-oci/strata/rechunk/tree"
)

// stack is a pile of layers as a client would apply them: what shows at which path, and what of it the tree wants.
type stack struct {
	m      *model
	layers []*stratum // lowest first
	top    []int32    // the highest layer that holds each path, or none
	cover  []int32    // the highest layer with a whiteout of each path or an ancestor, or none
	at     []int32    // position of each tree entry in its top layer's index
	home   []int32    // the layer in which each leaf of the tree is live, or none
	sums   []sum
	// dropped are the layers taken out, in that order.
	dropped []Dropped
}

// sum is what of one layer is live.
type sum struct {
	weight int64 // estimated compressed bytes
	files  int   // entries other than directories
	dirs   int   // empty directories
}

// newStack evaluates layers of one image, all of them read.
func (m *model) newStack(layers []*stratum) *stack {
	n := len(m.paths.name)
	s := &stack{m: m, layers: append([]*stratum(nil), layers...)}
	s.top, s.cover = make([]int32, n), make([]int32, n)
	s.at, s.home = make([]int32, m.paths.tree), make([]int32, m.paths.tree)
	s.eval()
	return s
}

// drop takes a layer out and evaluates the rest anew: what the layer hid may show again.
func (s *stack) drop(k int, why Why) {
	l := s.layers[k]
	s.dropped = append(s.dropped, Dropped{
		Digest: l.prior.Digest, Name: l.prior.Name, Bytes: l.prior.Size, LiveBytes: s.liveBytes(k), Why: why,
		Detail: l.fault,
	})
	s.layers = append(s.layers[:k], s.layers[k+1:]...)
	s.eval()
}

// pile finds what the layers hold and hide.
func (s *stack) pile() {
	for i := range s.top {
		s.top[i], s.cover[i] = none, none
	}
	for k, l := range s.layers {
		for _, id := range l.ids {
			s.top[id] = int32(k)
		}
		for _, id := range l.outs {
			s.cover[id] = int32(k)
		}
	}
	for id, up := range s.m.paths.parent {
		if up != none && s.cover[up] > s.cover[id] {
			s.cover[id] = s.cover[up]
		}
	}
}

func (s *stack) eval() {
	s.pile()
	for i := range s.home {
		s.home[i] = none
	}
	for k, l := range s.layers {
		for i, id := range l.ids {
			if id < s.m.paths.tree && s.m.leaf[id] && l.match[i] && s.shows(id) == int32(k) {
				s.home[id], s.at[id] = int32(k), int32(i)
			}
		}
	}
	s.wholeGroups()
	s.separateGroups()
	s.add()
}

// shows returns the layer whose entry shows at a path, or none.
func (s *stack) shows(id int32) int32 {
	if k := s.top[id]; k >= s.cover[id] {
		return k
	}
	return none
}

// wholeGroups lets a hardlink group of the tree be live only where all of it is linked together in one layer.
func (s *stack) wholeGroups() {
	for _, members := range s.m.groups {
		if len(members) == 0 {
			continue
		}
		k := s.home[members[0]]
		whole := k != none
		if whole {
			g := s.layers[k].group[s.at[members[0]]]
			for _, id := range members {
				whole = whole && s.home[id] == k && g != none && s.layers[k].group[s.at[id]] == g
			}
		}
		for _, id := range members {
			if !whole {
				s.home[id] = none
			}
		}
	}
}

// separateGroups lets only the first of several objects be live that a layer hardlinks together though the tree does not.
func (s *stack) separateGroups() {
	for k, l := range s.layers {
		for _, members := range l.groups {
			first := none
			for _, i := range members {
				id := l.ids[i]
				if id >= s.m.paths.tree || s.home[id] != int32(k) {
					continue
				}
				switch {
				case first == none:
					first = id
				case s.m.group[id] == none || s.m.group[id] != s.m.group[first]:
					s.home[id] = none
				}
			}
		}
	}
}

func (s *stack) add() {
	s.sums = make([]sum, len(s.layers))
	for id, k := range s.home {
		if k == none {
			continue
		}
		l := s.layers[k]
		s.sums[k].weight += l.weight[s.at[id]]
		if s.m.in.Tree.Entries[id].Kind == tree.Dir {
			s.sums[k].dirs++
		} else {
			s.sums[k].files++
		}
	}
	for k, l := range s.layers {
		for g, members := range l.groups {
			for _, i := range members {
				if id := l.ids[i]; id < s.m.paths.tree && s.home[id] == int32(k) {
					s.sums[k].weight += l.shared[g]
					break
				}
			}
		}
	}
}

// dead reports whether a layer gives nothing that is worth keeping it: no live file, and no empty directory unless it holds
// nothing but directories.
func (s *stack) dead(k int) bool {
	return s.sums[k].files == 0 && (s.layers[k].files > 0 || s.sums[k].dirs == 0)
}

// dropDead takes out the dead layers, the highest first.
func (s *stack) dropDead() {
	for k := len(s.layers) - 1; k >= 0; k-- {
		if s.dead(k) {
			s.drop(k, WhyHidden)
			k = len(s.layers)
		}
	}
}

// stale returns the estimated stale bytes and all bytes of an image made of the stack and of new layers with the rest.
func (s *stack) stale() (stale, total int64) {
	for k, l := range s.layers {
		stale += l.stale(s.sums[k].weight)
		total += l.prior.Size
	}
	return stale, total + s.missingBytes()
}

// missing returns the leaves that no layer of the stack provides, in ascending order.
func (s *stack) missing() []int32 {
	var ids []int32
	for id, k := range s.home {
		if k == none && s.m.leaf[id] {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

func (s *stack) missingBytes() int64 {
	var n int64
	for id, k := range s.home {
		if k == none && s.m.leaf[id] {
			n += s.m.weight[id]
		}
	}
	return n
}

// leftovers returns the topmost paths that show but are not in the tree, in ascending order of number: what needs a
// whiteout.
func (s *stack) leftovers() []int32 {
	var ids []int32
	for id := s.m.paths.tree; int(id) < len(s.top); id++ {
		if id != s.m.paths.root && s.shows(id) != none && s.m.paths.inTree(s.m.paths.parent[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// rootShown reports whether the stack carries the tree's root entry, or the tree has none.
func (s *stack) rootShown() bool {
	return s.m.paths.root >= s.m.paths.tree || s.shows(s.m.paths.root) != none
}

// scale returns n·a/b without overflow, a taken to be in 0..b. It is 0 when n or b is not positive.
func scale(n, a, b int64) int64 {
	if n <= 0 || b <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(n), uint64(min(max(a, 0), b)))
	q, _ := bits.Div64(hi, lo, uint64(b))
	return int64(q)
}
