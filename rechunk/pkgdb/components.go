package pkgdb

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/rechunk/legible"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// What the components of one image may take together. A desktop has 2,000 of them, with 300,000 times.
const (
	// MaxComponents bounds the components. What would be one more is part of the rest.
	MaxComponents = 1 << 16
	// MaxComponentText bounds their IDs and versions together, in bytes.
	MaxComponentText = 16 << 20
	// MaxComponentChanges bounds the changelog times of all.
	MaxComponentChanges = 2 << 20
)

// maxVersions bounds the versions that are joined into Component.Version.
const maxVersions = 8

// components collects components under their IDs.
type components struct {
	list     []Component
	versions [][]string // of each component, distinct, ascending
	at       map[string]int32
	text     int // bytes of IDs and versions
	changes  int // times of all components
	// full says which budgets were exceeded.
	full struct{ components, text, changes bool }
}

func newComponents() *components { return &components{at: make(map[string]int32)} }

// get returns the position of the component with the given ID, adding it when it is new. Over budget it is the rest's.
func (t *components) get(id string, kind Kind) int32 {
	if i, ok := t.at[id]; ok {
		return i
	}
	switch kind {
	case Rest, Kernel, Initramfs: // few, and always there
	default:
		if len(t.list) >= MaxComponents {
			t.full.components = true
			return t.get(restID, Rest)
		}
		if !t.spendText(len(id)) {
			return t.get(restID, Rest)
		}
	}
	i := int32(len(t.list))
	t.list = append(t.list, Component{ID: id, Kind: kind})
	t.versions = append(t.versions, nil)
	t.at[id] = i
	return i
}

// over lists the budgets that were exceeded, a line each.
func (t *components) over() []string {
	var lines []string
	if t.full.components {
		lines = append(lines, fmt.Sprintf("more than %d components: what is beyond is unowned", MaxComponents))
	}
	if t.full.text {
		lines = append(lines,
			fmt.Sprintf("names and versions of components of more than %d bytes: what is beyond is unowned",
				MaxComponentText))
	}
	if t.full.changes {
		lines = append(lines,
			fmt.Sprintf("more than %d changelog entries: those of some packages are not known", MaxComponentChanges))
	}
	return lines
}

// spendText books bytes of IDs and versions and reports whether there were enough left.
func (t *components) spendText(n int) bool {
	if t.text+n > MaxComponentText {
		t.full.text = true
		return false
	}
	t.text += n
	return true
}

// addPackage counts an installed package to its source package's component and returns that.
func (t *components) addPackage(ecosystem string, p *installed.Package) int32 {
	i := t.get(ecosystem+"/"+printable(p.Source), Package)
	c := &t.list[i]
	if c.Kind == Rest {
		return i
	}
	c.BuildTime = max(c.BuildTime, p.BuildTime)
	t.addChanges(c, p.Changes)
	v := t.versions[i]
	at, found := slices.BinarySearch(v, p.Version)
	if !found && p.Version != "" && len(v) < maxVersions && t.spendText(len(p.Version)) {
		t.versions[i] = slices.Insert(v, at, strings.Clone(p.Version))
	}
	return i
}

// addChanges joins changelog times to a component's. Packages of one source usually have one changelog.
func (t *components) addChanges(c *Component, times []int64) {
	if len(times) == 0 || slices.Equal(c.Changes, times) {
		return
	}
	all := slices.Clone(installed.Newest(slices.Concat(c.Changes, times)))
	if t.changes+len(all)-len(c.Changes) > MaxComponentChanges {
		t.full.changes = true
		return
	}
	t.changes += len(all) - len(c.Changes)
	c.Changes = all
}

// inherit gives component to what is known of component from, except its name and kind.
func (t *components) inherit(to, from int32) {
	a, b := &t.list[to], &t.list[from]
	a.Changes, a.BuildTime = b.Changes, b.BuildTime
	t.versions[to] = t.versions[from]
}

// less orders components by ID.
func (t *components) less(a, b int32) bool { return t.list[a].ID < t.list[b].ID }

// finish returns the components that of uses, in ascending order of their IDs, and of translated to their positions.
func (t *components) finish(of []int32) ([]Component, []int32) {
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
	if legible.Plain(s) && !strings.Contains(s, `\`) {
		return s
	}
	q := strconv.Quote(s)
	return legible.Line(strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`))
}
