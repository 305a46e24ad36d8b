package layer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// List is what a layer is to hold, in the order in which it is written, and where the contents of its files come from. It
// refers to entries of a tree and is valid as long as these stay as they are.
type List struct {
	entries  []*tree.Entry // ascending, every ancestor directory among them, unless places says where each belongs
	places   []string      // paths that the entries stand for; nil when these are their own
	last     []*tree.Entry // files that are written behind all others, ascending
	marks    []string      // names of the whiteouts' marker files, ascending
	contents tree.Contents
}

// NewList lists a layer of a tree: the entries at the given positions in ascending order, and whiteouts of the given paths.
// All ancestor directories of both, and the root, are in the layer whether they are given or not; one that is no directory
// of the tree is an error. Of a hardlink group, the first name, which is the group's, must be given if any other is.
func NewList(t *tree.Tree, positions []int, whiteouts []string, contents tree.Contents) (*List, error) {
	entries, err := withAncestors(t, positions, whiteouts)
	if err != nil {
		return nil, err
	}
	return &List{entries: entries, marks: markNames(whiteouts), contents: contents}, nil
}

// PutLast has the files with contents that fresh reports written behind all other entries, which clients that have the rest
// fetch in one range or few. All names of a hardlink group have one content, and so stay together.
func (l *List) PutLast(fresh func(content tree.Digest) bool) {
	var first []*tree.Entry
	for _, e := range l.entries {
		if e.Kind == tree.Regular && e.Size > 0 && fresh(e.Digest) {
			l.last = append(l.last, e)
		} else {
			first = append(first, e)
		}
	}
	l.entries = first
}

// Expand gives a list that has, in the place of each entry, those that expand returns. They are written in that order, so
// that a hardlink must come after the entry that Link names.
func (l *List) Expand(expand func(e *tree.Entry) []*tree.Entry) *List {
	out := &List{marks: l.marks, contents: l.contents}
	for _, e := range l.entries {
		for _, x := range expand(e) {
			out.entries, out.places = append(out.entries, x), append(out.places, e.Path)
		}
	}
	return out
}

// len is how many entries and whiteouts the layer has.
func (l *List) len() int { return len(l.entries) + len(l.last) + len(l.marks) }

// place is the path that the n-th entry is sorted by.
func (l *List) place(n int) string {
	if l.places == nil {
		return l.entries[n].Path
	}
	return l.places[n]
}

// markNames gives the names of the whiteouts' marker files (OCI image specification, "Whiteouts"), in path order.
func markNames(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		dir, base := tree.Parent(p), p[strings.LastIndexByte(p, '/')+1:]
		if dir == "." {
			out[i] = ".wh." + base
		} else {
			out[i] = dir + "/.wh." + base
		}
	}
	slices.SortFunc(out, tree.ComparePaths)
	return out
}

// withAncestors returns the entries at the positions with all their ancestor directories and those of the whiteouts,
// ascending.
func withAncestors(t *tree.Tree, positions []int, whiteouts []string) ([]*tree.Entry, error) {
	a := ancestry{tree: t, in: make([]bool, len(t.Entries)), known: map[string]bool{}}
	for _, i := range positions {
		a.add(i)
		if err := a.addParents(t.Entries[i].Path); err != nil {
			return nil, err
		}
	}
	for _, p := range whiteouts {
		if err := a.addParents(p); err != nil {
			return nil, err
		}
	}
	if err := a.addParents("x"); err != nil {
		return nil, err
	}
	out := make([]*tree.Entry, 0, a.count)
	for i, held := range a.in {
		if held {
			out = append(out, &t.Entries[i])
		}
	}
	return out, nil
}

// ancestry collects entries of a tree with the directories above them.
type ancestry struct {
	tree  *tree.Tree
	in    []bool
	count int
	known map[string]bool // directories that are in, with all above them
	last  string          // entries of a directory mostly follow each other
}

func (a *ancestry) add(i int) {
	if !a.in[i] {
		a.in[i] = true
		a.count++
	}
}

// addParents adds all directories above a path.
func (a *ancestry) addParents(p string) error {
	d := tree.Parent(p)
	if d == a.last {
		return nil
	}
	for a.last = d; !a.known[d]; d = tree.Parent(d) {
		a.known[d] = true
		i, ok := a.tree.Find(d)
		if !ok || a.tree.Entries[i].Kind != tree.Dir {
			return fmt.Errorf("%q lies in %q, which is no directory of the tree", p, d)
		}
		a.add(i)
	}
	return nil
}
