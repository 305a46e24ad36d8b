package treetest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Chaos returns a layer of about n items that takes its names from a small set, so that layers of it collide: types replace
// each other, links lead to links, whiteouts hide what is not there. Items are in path order with whiteouts anywhere; each path is
// named once.
func (r *Random) Chaos(n int) []Item {
	var out []Item
	used := map[string]bool{}
	for range n {
		if i := r.anything(); !used[i.Name] {
			used[i.Name] = true
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	for k := range out {
		if strings.HasPrefix(path.Base(out[k].Name), ".wh.") {
			j := r.rng.IntN(len(out))
			i := out[k]
			out = slices.Insert(slices.Delete(out, k, k+1), j, i)
		}
	}
	return out
}

func (r *Random) anything() Item {
	p := r.anyPath()
	switch r.rng.IntN(12) {
	case 0, 1, 2:
		return Dir(p).WithMode(int64(0o700 + r.rng.IntN(8)))
	case 3, 4, 5:
		return File(p, fmt.Sprint(r.rng.IntN(100)))
	case 6:
		return Symlink(p, r.anyTarget())
	case 7, 8:
		return Hardlink(p, r.anyPath())
	case 9, 10:
		return Whiteout(p)
	}
	return Opaque(p)
}

func (r *Random) anyPath() string {
	parts := make([]string, 1+r.rng.IntN(3))
	for i := range parts {
		parts[i] = string("abc"[r.rng.IntN(3)])
	}
	return strings.Join(parts, "/")
}

func (r *Random) anyTarget() string {
	prefix := []string{"", "/", "../", "../../", "./"}
	return prefix[r.rng.IntN(len(prefix))] + r.anyPath()
}
