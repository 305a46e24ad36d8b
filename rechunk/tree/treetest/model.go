package treetest

import (
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// model is a tree that can be edited. Hardlinks share the object. Names are kept in a slice as well, in an order that
// depends on the edits alone, so that random choices are cheap and repeatable.
type model struct {
	objects map[string]*tree.Entry
	names   []string
	at      map[string]int // name → position in names
}

func newModel() *model {
	m := &model{objects: map[string]*tree.Entry{}, at: map[string]int{}}
	m.set(".", &tree.Entry{Kind: tree.Dir, Mode: 0o755})
	return m
}

func modelOf(t *tree.Tree) *model {
	m := newModel()
	groups := map[string]*tree.Entry{}
	for _, e := range t.Entries {
		o := e
		o.Path, o.Link = "", ""
		if groups[e.Link] == nil || e.Link == "" {
			groups[e.Link] = &o
		}
		m.set(e.Path, groups[e.Link])
	}
	return m
}

func (m *model) set(p string, e *tree.Entry) {
	if _, ok := m.at[p]; !ok {
		m.at[p] = len(m.names)
		m.names = append(m.names, p)
	}
	m.objects[p] = e
}

func (m *model) unset(p string) {
	i, last := m.at[p], len(m.names)-1
	m.names[i] = m.names[last]
	m.at[m.names[i]] = i
	m.names = m.names[:last]
	delete(m.at, p)
	delete(m.objects, p)
}

// tree returns the model as a tree, hardlink groups named by their first path.
func (m *model) tree() *tree.Tree {
	paths := slices.SortedFunc(slices.Values(m.names), tree.ComparePaths)
	names := map[*tree.Entry][]string{}
	for _, p := range paths {
		names[m.objects[p]] = append(names[m.objects[p]], p)
	}
	t := &tree.Tree{Entries: make([]tree.Entry, 0, len(paths))}
	for _, p := range paths {
		e := *m.objects[p]
		e.Path, e.Link = p, ""
		if group := names[m.objects[p]]; len(group) > 1 {
			e.Link = group[0]
		}
		t.Entries = append(t.Entries, e)
	}
	return t
}

// pick returns a random path that satisfies ok, or "".
func (m *model) pick(r *Random, ok func(string, *tree.Entry) bool) string {
	start := r.rng.IntN(len(m.names))
	for i := range m.names {
		p := m.names[(start+i)%len(m.names)]
		if ok(p, m.objects[p]) {
			return p
		}
	}
	return ""
}

// below returns a path and all paths below it.
func (m *model) below(dir string) []string {
	var out []string
	for _, p := range m.names {
		if tree.Within(p, dir) {
			out = append(out, p)
		}
	}
	return out
}

// remove takes a path away with all below it.
func (m *model) remove(dir string) {
	for _, p := range m.below(dir) {
		m.unset(p)
	}
}

// rename moves a path with all below it to a free one.
func (m *model) rename(from, to string) {
	for _, p := range m.below(from) {
		m.set(to+p[len(from):], m.objects[p])
		m.unset(p)
	}
}
