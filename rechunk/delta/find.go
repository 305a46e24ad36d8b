package delta

import (
	"cmp"
	"path"
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Finder finds the files of a seed that are like a given one. It is safe for concurrent use.
type Finder struct {
	files    []File
	digests  map[tree.Digest]int32
	paths    map[string]int32
	versions map[string][]int32 // by the path without versions
	names    map[string][]int32 // by the base name without versions
	sizes    []int32            // of files that are large enough for Near, by size
}

// NewFinder makes a finder of a seed's files. Of files with equal digests, the first counts.
func NewFinder(files []File) *Finder {
	f := &Finder{
		files: files, digests: make(map[tree.Digest]int32, len(files)), paths: make(map[string]int32, len(files)),
		versions: make(map[string][]int32, len(files)), names: make(map[string][]int32, len(files)),
	}
	for i, file := range files {
		if file.Size == 0 {
			continue
		}
		n := int32(i)
		if _, ok := f.digests[file.Digest]; !ok {
			f.digests[file.Digest] = n
		}
		f.paths[file.Path] = n
		if file.Size >= leastNear/4 {
			f.sizes = append(f.sizes, n)
		}
		key := unversioned(file.Path)
		f.versions[key] = append(f.versions[key], n)
		f.names[path.Base(key)] = append(f.names[path.Base(key)], n)
	}
	slices.SortFunc(f.sizes, func(a, b int32) int {
		return cmp.Or(cmp.Compare(files[a].Size, files[b].Size), cmp.Compare(files[a].Path, files[b].Path))
	})
	for _, lists := range []map[string][]int32{f.versions, f.names} {
		for _, list := range lists {
			slices.SortFunc(list, func(a, b int32) int { return cmp.Compare(files[a].Path, files[b].Path) })
		}
	}
	return f
}

// A file may come from one that is so many times as large, and somewhat more.
const (
	perLike  = 16
	likeSize = 64 << 10
)

// most is how many files of one name are looked at: those whose paths are next to the one looked for.
const most = 128

// around cuts a list to the files around a path.
func (f *Finder) around(list []int32, p string) []int32 {
	if len(list) <= most {
		return list
	}
	at, _ := slices.BinarySearchFunc(list, p, func(i int32, p string) int { return cmp.Compare(f.files[i].Path, p) })
	from := min(max(at-most/2, 0), len(list)-most)
	return list[from : from+most]
}

// Same returns a file with that content, if there is one.
func (f *Finder) Same(d tree.Digest, size int64) (File, bool) {
	if i, ok := f.digests[d]; ok && f.files[i].Size == size {
		return f.files[i], true
	}
	return File{}, false
}

// Like returns files that a file of that path and size may have come from, the likeliest first, at most two: of the same
// path, of the same but for versions, or of the same base name but for versions. None is so much larger that looking at it
// costs more than the file is worth.
func (f *Finder) Like(p string, size int64) []File {
	var found []File
	add := func(i int32) {
		if !slices.Contains(found, f.files[i]) && len(found) < 2 && f.files[i].Size <= likeSize+perLike*size {
			found = append(found, f.files[i])
		}
	}
	if i, ok := f.paths[p]; ok {
		add(i)
	}
	key := unversioned(p)
	for _, list := range [][]int32{f.versions[key], f.names[path.Base(key)]} {
		if len(found) > 0 {
			break
		}
		if list = f.around(list, p); len(list) > 0 {
			add(slices.MaxFunc(list, func(a, b int32) int {
				return cmp.Or(f.alike(a, p, size)-f.alike(b, p, size), int(b-a))
			}))
		}
	}
	return found
}

// likeness tells how much two paths are equal, in front and in the back; 100 for equal ones.
func likeness(a, b string) int {
	front := shared(a, b)
	back := 0
	for back < min(len(a), len(b))-front && a[len(a)-1-back] == b[len(b)-1-back] {
		back++
	}
	return 2 * (front + back) * 100 / max(len(a)+len(b), 1)
}

// alike tells how much a file's path and size are like others.
func (f *Finder) alike(i int32, p string, size int64) int {
	file := f.files[i]
	score := likeness(file.Path, p)
	if small, large := min(file.Size, size), max(file.Size, size); small*2 < large {
		score -= int(min(large/max(small, 1), 20)) * 5
	}
	return score
}
