package tree

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
)

// ShareMin is the size in bytes from which on identical files are linked. Smaller ones give little: on a Debian server the
// 41 duplicates of 16 to 64 KiB make up 1.3 MB, and compression finds most of those by itself.
const ShareMin = 64 << 10

// ShareMost is the number of names up to which a group of hardlinks is made. Filesystems have a limit (ext4 has 65,000), and
// ostree links every name once more for each deployment.
const ShareMost = 8192

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
	// Most bounds the names of a group that is made or grows; 0 stands for ShareMost.
	Most int
}

// Share makes hardlinks of identical regular files in /usr: same content, mode, owner and extended attributes. The deployed
// system's /usr is read-only, and ostree and composefs keep identical files once anyway. Files smaller than ShareMin and
// objects that have a name outside of /usr stay as they are; no group of the tree is torn apart, and none grows beyond
// o.Most names. It returns the tree with the links, which is t itself when there are none, and how many files became links.
// An error is Label's.
func Share(t *Tree, o ShareOptions) (shared *Tree, linked int, err error) {
	var parts [][]int
	for _, same := range identical(t, o.Times) {
		if parts, err = byLabel(parts, t, same, o.Label); err != nil {
			return nil, 0, err
		}
	}
	if len(parts) == 0 {
		return t, 0, nil
	}
	if o.Most == 0 {
		o.Most = ShareMost
	}
	shared = t.Clone()
	for _, part := range parts {
		linked += link(shared, part, o.Served, o.Most)
	}
	return shared, linked, nil
}

// alike is what identical files agree on.
type alike struct {
	digest   Digest
	mode     uint32
	uid, gid int
	xattrs   [sha256.Size]byte
	sec      int64
	nsec     int32
}

// likeness finds what files agree on.
type likeness struct {
	times bool
	sums  map[*Xattr][sha256.Size]byte // by the first of a list of attributes, which many entries may share
}

func (l *likeness) of(e *Entry) alike {
	a := alike{digest: e.Digest, mode: e.Mode, uid: e.UID, gid: e.GID}
	if len(e.Xattrs) > 0 {
		first := &e.Xattrs[0]
		sum, known := l.sums[first]
		if !known {
			sum = sumXattrs(e.Xattrs)
			l.sums[first] = sum
		}
		a.xattrs = sum
	}
	if l.times {
		a.sec, a.nsec = e.Sec, e.Nsec
	}
	return a
}

// sumXattrs is a digest of attributes.
func sumXattrs(xattrs []Xattr) (sum [sha256.Size]byte) {
	h := sha256.New()
	var size [8]byte
	for _, x := range xattrs {
		for _, s := range []string{x.Name, x.Value} {
			h.Write(binary.LittleEndian.AppendUint64(size[:0], uint64(len(s))))
			_, _ = io.WriteString(h, s)
		}
	}
	h.Sum(sum[:0])
	return sum
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
	alike, numbers := likeness{times, map[*Xattr][sha256.Size]byte{}}, map[alike]int{}
	var found [][]int
	for i := range t.Entries {
		e := &t.Entries[i]
		if !large(e) || !Within(e.Path, "usr") || outside[e.Link] {
			continue
		}
		key := alike.of(e)
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
		return len(same) < 2 || first != "" &&
			!slices.ContainsFunc(same, func(i int) bool { return t.Entries[i].Link != first })
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

// link makes groups of identical files, or the groups that they were served in, and returns how many files became links. It
// changes t.
func link(t *Tree, same []int, served func(*Entry) (string, bool), most int) int {
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
			groups.joinNamed(n, l, byTree, len(same))
		}
	}
	last := 0 // the group that takes in others
	for n := range same {
		switch {
		case !all && groups.first(n) == n && !groups.join(last, n, most):
			last = n
		case all && before[n] != "":
			groups.joinNamed(n, before[n], byServed, most)
		}
	}
	linked := 0
	for n, i := range same {
		first := &t.Entries[same[groups.first(n)]]
		e := &t.Entries[i]
		if groups.size[groups.first(n)] < 2 {
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
type groups struct {
	up   []int // to a lesser number of the group
	size []int // of the group of a least number
}

func newGroups(n int) groups {
	g := groups{make([]int, n), make([]int, n)}
	for i := range n {
		g.up[i], g.size[i] = i, 1
	}
	return g
}

func (g groups) first(n int) int {
	for g.up[n] != n {
		g.up[n] = g.up[g.up[n]]
		n = g.up[n]
	}
	return n
}

// join makes one group of two unless it had more than most members.
func (g groups) join(a, b, most int) bool {
	a, b = g.first(a), g.first(b)
	if a == b {
		return true
	}
	if g.size[a]+g.size[b] > most {
		return false
	}
	a, b = min(a, b), max(a, b)
	g.up[b] = a
	g.size[a] += g.size[b]
	return true
}

// joinNamed joins a number with the one that came first under a name, or has it come first when there is no room.
func (g groups) joinNamed(n int, name string, seen map[string]int, most int) {
	if m, ok := seen[name]; !ok || !g.join(n, m, most) {
		seen[name] = n
	}
}

// object names what an entry's path leads to: a hardlink group, or the path itself.
func (e *Entry) object() string {
	if e.Link != "" {
		return e.Link
	}
	return e.Path
}
