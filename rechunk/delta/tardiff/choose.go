package tardiff

import (
	"path"
	"strings"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
)

// chooser finds the old file that a new one is most likely made of.
type chooser struct {
	byDigest map[tree.Digest]*delta.File
	byPath   map[string]*delta.File
	bySteady map[string]*delta.File   // path without its numbers; nil where there are several
	byBase   map[string][]*delta.File // base name without its numbers
}

func newChooser(files []delta.File) *chooser {
	c := &chooser{map[tree.Digest]*delta.File{}, map[string]*delta.File{}, map[string]*delta.File{},
		map[string][]*delta.File{}}
	for i := range files {
		f := &files[i]
		if _, ok := c.byDigest[f.Digest]; !ok {
			c.byDigest[f.Digest] = f
		}
		c.byPath[f.Path] = f
		steady := steady(f.Path)
		if _, twice := c.bySteady[steady]; twice {
			f = nil
		}
		c.bySteady[steady] = f
		base := path.Base(steady)
		c.byBase[base] = append(c.byBase[base], &files[i])
	}
	return c
}

// steady is a path with a # for each run of digits and dots between digits: usr/lib/modules/#-amd#/kernel, libfoo.so.#.
func steady(p string) string {
	var b strings.Builder
	digit := func(i int) bool { return i < len(p) && '0' <= p[i] && p[i] <= '9' }
	for i := 0; i < len(p); {
		if !digit(i) {
			b.WriteByte(p[i])
			i++
			continue
		}
		for digit(i) || p[i:] != "" && p[i] == '.' && digit(i+1) {
			i++
		}
		b.WriteByte('#')
	}
	return b.String()
}

// mostAlike bounds the files of one base name that are looked at.
const mostAlike = 64

// choose returns the source for a file of the target and whether it has the same content; nil is none.
func (c *chooser) choose(e *tree.Entry) (*delta.File, bool) {
	if f := c.byDigest[e.Digest]; f != nil && f.Size == e.Size {
		return f, true
	}
	if f := c.byPath[e.Path]; f != nil && similar(f.Size, e.Size) {
		return f, false
	}
	steady := steady(e.Path)
	if f := c.bySteady[steady]; f != nil && similar(f.Size, e.Size) {
		return f, false
	}
	var best *delta.File
	alike := c.byBase[path.Base(steady)]
	for _, f := range alike[:min(len(alike), mostAlike)] {
		if similar(f.Size, e.Size) && (best == nil || apart(f.Size, e.Size) < apart(best.Size, e.Size)) {
			best = f
		}
	}
	return best, false
}

// similar reports whether two files may be versions of one, by their sizes.
func similar(a, b int64) bool {
	const small = 64 << 10
	return a < small && b < small || a < 10*b && b < 10*a
}

func apart(a, b int64) int64 { return max(a, b) - min(a, b) }
