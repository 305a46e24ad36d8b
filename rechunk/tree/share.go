package tree

import (
	"fmt"
	"slices"
)

// ShareMin is the size in bytes from which on identical files are linked. Smaller ones give little: on a Debian server the 41
// duplicates of 16 to 64 KiB make up 1.3 MB, and compression finds most of those by itself.
const ShareMin = 64 << 10

// ShareOptions say which identical files Share links.
type ShareOptions struct {
	// Times links only files of equal modification time. Without it the names of a group take the time of the first.
	Times bool
	// Label tells files apart that clients give different attributes by their path; nil is for none. It is asked only about
	// files that would be linked.
	Label func(path string) (string, error)
	// Served says as which object an equal entry was served before, "" for one with a single name, and whether it was. Files
	// that all were served before stay linked or apart as they were, since a change would send them again; nil is for none.
	Served func(e *Entry) (object string, ok bool)
}

// Share makes hardlinks of identical regular files in /usr: same content, mode, owner and extended attributes. The deployed
// system's /usr is read-only, and ostree and composefs keep identical files once anyway. Files smaller than ShareMin and objects that
// have a name outside of /usr stay as they are; no group of the tree is torn apart. It changes t, and returns how many files became
// links. An error is Label's, and t is unchanged.
func Share(t *Tree, o ShareOptions) (linked int, err error) {
	var parts [][]int
	for _, same := range identical(t, o.Times) {
		if parts, err = byLabel(parts, t, same, o.Label); err != nil {
			return 0, err
		}
	}
	for _, part := range parts {
		linked += link(t, part, o.Served)
	}
	return linked, nil
}

// alike is what identical files agree on.
type alike struct {
	digest   Digest
	mode     uint32
	uid, gid int
	xattrs   string
	sec      int64
	nsec     int32
}

func likeness(e *Entry, times bool) alike {
	a := alike{digest: e.Digest, mode: e.Mode, uid: e.UID, gid: e.GID}
	for _, x := range e.Xattrs {
		a.xattrs += fmt.Sprintf("%q=%q ", x.Name, x.Value)
	}
	if times {
		a.sec, a.nsec = e.Sec, e.Nsec
	}
	return a
}

// identical finds the files of which there is more than one object: positions of all their names, ascending.
func identical(t *Tree, times bool) [][]int {
	outside := map[string]bool{} // groups with a name outside of /usr
	large := func(e *Entry) bool { return e.Kind == Regular && e.Size >= ShareMin }
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Link != "" && large(e) && !Within(e.Path, "usr") {
			outside[e.Link] = true
		}
	}
	numbers := map[alike]int{}
	var found [][]int
	for i := range t.Entries {
		e := &t.Entries[i]
		if !large(e) || !Within(e.Path, "usr") || outside[e.Link] {
			continue
		}
		key := likeness(e, times)
		n, ok := numbers[key]
		if !ok {
			n = len(found)
			numbers[key] = n
			found = append(found, nil)
		}
		found[n] = append(found[n], i)
	}
	return slices.DeleteFunc(found, func(same []int) bool {
		first := t.Entries[same[0]].Link
		return len(same) < 2 || first != "" && !slices.ContainsFunc(same, func(i int) bool { return t.Entries[i].Link != first })
	})
}

// byLabel parts files by their label; a group of the tree goes with its first name.
func byLabel(parts [][]int, t *Tree, same []int, label func(string) (string, error)) ([][]int, error) {
	if label == nil {
		return append(parts, same), nil
	}
	numbers := map[string]int{}
	for _, i := range same {
		l, err := label(t.Entries[i].object())
		if err != nil {
			return nil, err
		}
		n, ok := numbers[l]
		if !ok {
			n = len(parts)
			numbers[l] = n
			parts = append(parts, nil)
		}
		parts[n] = append(parts[n], i)
	}
	return parts, nil
}

// link makes one group of identical files, or the groups that they were served in, and returns how many files became links.
func link(t *Tree, same []int, served func(*Entry) (string, bool)) int {
	before, all := make([]string, len(same)), served != nil
	for n, i := range same {
		if all {
			before[n], all = served(&t.Entries[i])
		}
	}
	// Names go together when the tree links them, when they were linked, or all of them when one is new.
	groups := newGroups(len(same))
	byTree, byServed := map[string]int{}, map[string]int{}
	for n, i := range same {
		if l := t.Entries[i].Link; l != "" {
			groups.joinNamed(n, l, byTree)
		}
		if !all {
			groups.join(n, 0)
		} else if before[n] != "" {
			groups.joinNamed(n, before[n], byServed)
		}
	}
	linked := 0
	size := make([]int, len(same))
	for n := range same {
		size[groups.first(n)]++
	}
	for n, i := range same {
		first := &t.Entries[same[groups.first(n)]]
		e := &t.Entries[i]
		if size[groups.first(n)] < 2 {
			continue
		}
		if e.object() != first.object() && e != first {
			linked++
		}
		e.Link, e.Sec, e.Nsec = first.Path, first.Sec, first.Nsec
	}
	return linked
}

// groups are disjoint sets of numbers, each known by its least one.
type groups []int

func newGroups(n int) groups {
	g := make(groups, n)
	for i := range g {
		g[i] = i
	}
	return g
}

func (g groups) first(n int) int {
	for g[n] != n {
		g[n] = g[g[n]]
		n = g[n]
	}
	return n
}

func (g groups) join(a, b int) {
	a, b = g.first(a), g.first(b)
	g[max(a, b)] = min(a, b)
}

// joinNamed joins a number with the one that came first under a name.
func (g groups) joinNamed(n int, name string, seen map[string]int) {
	if m, ok := seen[name]; ok {
		g.join(n, m)
		return
	}
	seen[name] = n
}

// object names what an entry's path leads to: a hardlink group, or the path itself.
func (e *Entry) object() string {
	if e.Link != "" {
		return e.Link
	}
	return e.Path
}
