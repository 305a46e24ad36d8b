package treetest

import (
	"archive/tar"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Chaos returns a layer of at most n items that takes its names from a small set, so that layers of it collide: types
// replace each other, links lead to links, whiteouts hide what is not there. Items are in path order with whiteouts
// anywhere; each path is named once. Most such layers can be flattened; some cannot, for hardlinks that lead nowhere and
// symlinks in circles.
func (r *Random) Chaos(n int) []Item {
	var out []Item
	for range n {
		i := r.anything()
		clash := slices.ContainsFunc(out, func(o Item) bool {
			return o.Name == i.Name || blocks(o, i) || blocks(i, o)
		})
		if !clash {
			out = append(out, i)
		}
	}
	// What a hardlink leads to through a symlink or whiteout of the same layer depends on what an archiver meant, too.
	sane := slices.Clone(out)
	out = slices.DeleteFunc(out, func(i Item) bool {
		return i.Typeflag == tar.TypeLink && slices.ContainsFunc(sane, func(o Item) bool {
			hidden := strings.ReplaceAll(o.Name, ".wh.", "")
			return (o.Typeflag == tar.TypeSymlink || isWhiteout(o)) &&
				(tree.Within(i.Linkname, o.Name) || tree.Within(i.Linkname, hidden))
		})
	})
	slices.SortFunc(out, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	for k := range out {
		if isWhiteout(out[k]) {
			j := r.rng.IntN(len(out))
			i := out[k]
			out = slices.Insert(slices.Delete(out, k, k+1), j, i)
		}
	}
	for _, i := range out {
		if !isWhiteout(i) && i.Typeflag != tar.TypeDir && i.Typeflag != tar.TypeSymlink {
			r.files = append(r.files, i.Name)
		}
	}
	return out
}

// blocks reports whether b cannot be in a layer that has a, because of where a is.
func blocks(a, b Item) bool {
	if !tree.Within(b.Name, a.Name) {
		return false
	}
	// Nobody archives what lies behind a symlink of the same layer; where it leads depends on all lower layers.
	return !isWhiteout(a) && a.Typeflag != tar.TypeDir
}

func isWhiteout(i Item) bool { return strings.HasPrefix(path.Base(i.Name), ".wh.") }

func (r *Random) anything() Item {
	p := r.anyPath()
	switch r.rng.IntN(12) {
	case 0, 1, 2:
		return Dir(p).WithMode(int64(0o700 + r.rng.IntN(8)))
	case 3, 4, 5:
		return File(p, fmt.Sprint(r.rng.IntN(100)))
	case 6:
		return Symlink(p, r.anyTarget())
	case 7:
		if len(r.files) > 0 {
			return Hardlink(p, r.files[r.rng.IntN(len(r.files))])
		}
	case 8:
		return Opaque(p)
	}
	return Whiteout(p)
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
