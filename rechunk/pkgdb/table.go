package pkgdb

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// maxVersions bounds the versions that are joined into Component.Version.
const maxVersions = 8

// table collects components under their IDs.
type table struct {
	list     []Component
	versions [][]string // of each component, distinct, ascending
	at       map[string]int32
}

func newTable() *table { return &table{at: make(map[string]int32)} }

// get returns the position of the component with the given ID, adding it when it is new.
func (t *table) get(id string, kind Kind) int32 {
	if i, ok := t.at[id]; ok {
		return i
	}
	i := int32(len(t.list))
	t.list = append(t.list, Component{ID: id, Kind: kind})
	t.versions = append(t.versions, nil)
	t.at[id] = i
	return i
}

// addPackage counts an installed package to its source package's component and returns that.
func (t *table) addPackage(ecosystem string, p *installed.Package) int32 {
	i := t.get(ecosystem+"/"+printable(p.Source), Package)
	c := &t.list[i]
	c.BuildTime = max(c.BuildTime, p.BuildTime)
	// Packages of one source usually have one changelog.
	if len(p.Changes) > 0 && !slices.Equal(c.Changes, p.Changes) {
		c.Changes = installed.Newest(slices.Concat(c.Changes, p.Changes))
	}
	v := t.versions[i]
	if at, found := slices.BinarySearch(v, p.Version); !found && p.Version != "" && len(v) < maxVersions {
		t.versions[i] = slices.Insert(v, at, strings.Clone(p.Version))
	}
	return i
}

// inherit gives component to what is known of component from, except its name and kind.
func (t *table) inherit(to, from int32) {
	a, b := &t.list[to], &t.list[from]
	a.Changes, a.BuildTime = b.Changes, b.BuildTime
	t.versions[to] = t.versions[from]
}

// less orders components by ID.
func (t *table) less(a, b int32) bool { return t.list[a].ID < t.list[b].ID }

// finish returns the components that of uses, in ascending order of their IDs, and of translated to their positions.
func (t *table) finish(of []int32) ([]Component, []int32) {
	used := make([]bool, len(t.list))
	for _, i := range of {
		used[i] = true
	}
	var order []int32
	for i := range t.list {
		if used[i] {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(t.list[a].ID, t.list[b].ID) })
	moved := make([]int32, len(t.list))
	out := make([]Component, len(order))
	for to, from := range order {
		moved[from] = int32(to)
		out[to] = t.list[from]
		out[to].Version = printable(strings.Join(t.versions[from], ", "))
	}
	for i := range of {
		of[i] = moved[of[i]]
	}
	return out, of
}

// printable returns s with everything but printable characters escaped as in Go's string literals. Backslashes are escaped
// too, so that different strings stay different.
func printable(s string) string {
	plain := utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r == '\\' || !unicode.IsPrint(r) })
	if plain {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
