package plan

import (
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// model is an input made ready for planning: paths as numbers, weights, hardlink groups, and the lineage's layers matched
// against the tree.
//
// A leaf is an entry that a layer must name: anything but a directory, and a directory that holds nothing. All other
// directories are ancestors of leaves and come with them.
type model struct {
	in     *Input
	paths  *paths
	leaf   []bool
	weight []int64 // estimated compressed bytes of each entry; a hardlink group's content counts at its first member
	bytes  int64   // their sum
	group  []int32 // hardlink group of each entry, or none
	groups [][]int32
	layers map[digest.Digest]*stratum
	keys   []uint64 // names of the tree's paths in a history; made when first needed
	// exclusive marks entries that no other variant of the family has; nil when there are no others.
	exclusive []bool
}

func newModel(in *Input) (*model, error) {
	if err := checkInput(in); err != nil {
		return nil, err
	}
	m := &model{in: in, paths: newPaths(in.Tree), layers: map[digest.Digest]*stratum{}}
	entries := in.Tree.Entries
	m.leaf = make([]bool, len(entries))
	m.weight = make([]int64, len(entries))
	for i := range entries {
		m.leaf[i] = true
	}
	for i := range entries {
		up := m.paths.parent[i]
		if up == none && int32(i) != m.paths.root {
			return nil, fmt.Errorf("%w: %q has no parent directory in the tree", ErrInput, entries[i].Path)
		}
		if up != none && up < m.paths.tree {
			if entries[up].Kind != tree.Dir {
				return nil, fmt.Errorf("%w: the parent of %q is no directory", ErrInput, entries[i].Path)
			}
			m.leaf[up] = false
		}
	}
	m.group, m.groups = linkGroups(entries)
	for i := range entries {
		g := m.group[i]
		m.weight[i] = weigh(&entries[i], g == none || m.groups[g][0] == int32(i))
		m.bytes += m.weight[i]
	}
	return m, nil
}

func checkInput(in *Input) error {
	if in.Limits.MaxLayers < 1 {
		return fmt.Errorf("%w: max layers is %d, at least 1 is needed", ErrLimits, in.Limits.MaxLayers)
	}
	if !(in.Limits.MaxStale >= 0 && in.Limits.MaxStale <= 1) {
		return fmt.Errorf("%w: max stale is %v, not in 0 to 1", ErrLimits, in.Limits.MaxStale)
	}
	if in.Limits.LayerCost < 0 {
		return fmt.Errorf("%w: a layer costs %d bytes, less than nothing", ErrLimits, in.Limits.LayerCost)
	}
	if in.Tree == nil || in.Owners == nil {
		return fmt.Errorf("%w: tree or owners missing", ErrInput)
	}
	if len(in.Owners.Of) != len(in.Tree.Entries) {
		return fmt.Errorf("%w: owners of %d entries for a tree of %d", ErrInput, len(in.Owners.Of), len(in.Tree.Entries))
	}
	for i, c := range in.Owners.Of {
		if c < 0 || int(c) >= len(in.Owners.Components) {
			return fmt.Errorf("%w: entry %d belongs to component %d of %d", ErrInput, i, c, len(in.Owners.Components))
		}
	}
	entries := in.Tree.Entries
	for i := range entries {
		p := entries[i].Path
		if !clean(p) {
			return fmt.Errorf("%w: path %q is not clean and relative", ErrInput, p)
		}
		if i > 0 && tree.ComparePaths(entries[i-1].Path, p) >= 0 {
			return fmt.Errorf("%w: %q is not in ascending order", ErrInput, p)
		}
	}
	return nil
}

// clean reports whether a path is relative, clean and inside the root.
func clean(p string) bool {
	return p != "" && p[0] != '/' && p != ".." && !strings.HasPrefix(p, "../") && path.Clean(p) == p
}

// linkGroups numbers the hardlink groups of two and more members and returns the group of each entry, or none, and the
// members of each group in ascending order.
func linkGroups(entries []tree.Entry) ([]int32, [][]int32) {
	of := make([]int32, len(entries))
	var numbers map[string]int32
	var groups [][]int32
	for i := range entries {
		of[i] = none
		link := entries[i].Link
		if link == "" {
			continue
		}
		if numbers == nil {
			numbers = map[string]int32{}
		}
		g, ok := numbers[link]
		if !ok {
			g = int32(len(groups))
			numbers[link] = g
			groups = append(groups, nil)
		}
		of[i] = g
		groups[g] = append(groups[g], int32(i))
	}
	for g, members := range groups {
		if len(members) == 1 {
			of[members[0]] = none
			groups[g] = nil
		}
	}
	return of, groups
}

// same reports whether an entry of a layer is what the tree wants at its path.
func (m *model) same(e, want *tree.Entry) bool {
	return e.Same(want) && (e.SameTime(want) || !m.in.Limits.ExactTime && !m.in.Timed[want.Path])
}
