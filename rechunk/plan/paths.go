package plan

import (
	"github.com/strata-oci/strata/rechunk/tree"
)

// paths numbers every path that an input speaks of, so that the rest works on integers. The tree's entries come first: their
// numbers are their positions in the tree. A parent's number is lower than its children's, the root's excepted.
type paths struct {
	number map[string]int32
	name   []string
	parent []int32
	tree   int32 // numbers below belong to the tree
	root   int32
}

// none stands for no path, layer, group or component.
const none = int32(-1)

func newPaths(t *tree.Tree) *paths {
	n := len(t.Entries)
	p := &paths{number: make(map[string]int32, n+n/8+16), name: make([]string, 0, n+n/8), tree: int32(n), root: none}
	for i := range t.Entries {
		p.number[t.Entries[i].Path] = int32(i)
		p.name = append(p.name, t.Entries[i].Path)
	}
	p.parent = make([]int32, n, n+n/8)
	p.root = p.intern(".")
	for i := range n {
		p.parent[i] = p.lookup(tree.Parent(p.name[i]))
	}
	p.parent[p.root] = none
	return p
}

// lookup returns the number of a path, or none when it has none.
func (p *paths) lookup(name string) int32 {
	if id, ok := p.number[name]; ok {
		return id
	}
	return none
}

// intern returns the number of a path and gives it one, and its ancestors before it, when it has none.
func (p *paths) intern(name string) int32 {
	if id, ok := p.number[name]; ok {
		return id
	}
	up := none
	if name != "." {
		up = p.intern(tree.Parent(name))
	}
	id := int32(len(p.name))
	p.number[name] = id
	p.name = append(p.name, name)
	p.parent = append(p.parent, up)
	return id
}

// inTree reports whether the path is in the tree to be served. A tree without a root entry has the root all the same.
func (p *paths) inTree(id int32) bool { return id < p.tree || id == p.root }
