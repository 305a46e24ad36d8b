package delta

import (
	"cmp"
	"path"
	"slices"
)

const (
	// leastNear is the size of a file from which on more is looked at than its name: a source costs some fifty bytes of
	// the header, whether it is of use or not.
	leastNear = 64 << 10
	// mostNear is how many files of the seed are looked at for one file.
	mostNear = 8
	// perNear is how many bytes of a file are worth one file more to look at.
	perNear = 128 << 10
	// nearSizes is how many files of the nearest sizes are compared by their paths.
	nearSizes = 1024
)

// Near returns files that a file of that path and size may have come from: what Like returns, then, for files of at least
// 64 KiB whose path the seed lacks, others of the same name but for versions, of a size that is next to it, and of a like
// path. Which of them it is, their contents must tell. There are at most eight, fewer for small files.
func (f *Finder) Near(p string, size int64) []File {
	found := f.Like(p, size)
	if size < leastNear || len(found) > 0 && found[0].Path == p {
		return found
	}
	n := near{Finder: f, path: p, size: size, found: found, left: min(1+int(size/perNear), mostNear-len(found))}
	key := unversioned(p)
	n.add(n.ranked(f.around(f.versions[key], p)), mostNear)
	if len(found) > 0 && unversioned(found[0].Path) == key {
		return n.found
	}
	n.add(n.ranked(f.around(f.names[path.Base(key)], p)), 2)
	bySize := n.sized()
	byPath := n.ranked(bySize)
	for len(bySize) > 0 && n.left > 0 {
		n.add(bySize[:1], 1)
		n.add(byPath[:1], 1)
		bySize, byPath = bySize[1:], byPath[1:]
	}
	return n.found
}

// near collects files for one.
type near struct {
	*Finder
	path  string
	size  int64
	found []File
	left  int   // how many may be added
	bytes int64 // of what was added
}

// add adds at most so many files, of a size that is not too different.
func (n *near) add(list []int32, most int) {
	for _, i := range list {
		file := n.files[i]
		if most == 0 || n.left == 0 {
			return
		}
		if file.Size < n.size/4 || file.Size > n.size*4 || n.bytes+file.Size > n.size*mostNear ||
			slices.Contains(n.found, file) {
			continue
		}
		n.found, n.bytes = append(n.found, file), n.bytes+file.Size
		most, n.left = most-1, n.left-1
	}
}

// ranked sorts files by how much they are like the one looked for in path and size.
func (n *near) ranked(list []int32) []int32 {
	type scored struct {
		i     int32
		score int
	}
	all := make([]scored, len(list))
	for k, i := range list {
		all[k] = scored{i, n.alike(i, n.path, n.size)}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Or(b.score-a.score, cmp.Compare(a.i, b.i)) })
	sorted := make([]int32, len(all))
	for k, s := range all {
		sorted[k] = s.i
	}
	return sorted
}

// sized gives the files of the nearest sizes, the nearest first.
func (n *near) sized() []int32 {
	at, _ := slices.BinarySearchFunc(n.sizes, n.size, func(i int32, size int64) int {
		return cmp.Compare(n.files[i].Size, size)
	})
	list := slices.Clone(n.sizes[max(at-nearSizes/2, 0):min(at+nearSizes/2, len(n.sizes))])
	slices.SortFunc(list, func(a, b int32) int {
		x, y := n.files[a].Size-n.size, n.files[b].Size-n.size
		return cmp.Or(cmp.Compare(max(x, -x), max(y, -y)), cmp.Compare(a, b))
	})
	return list
}
