package pkgdb

import (
	"fmt"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

// What the databases of one image may take together. A desktop has 3,000 packages of 500,000 files.
const (
	// MaxPackages bounds the packages.
	MaxPackages = 1 << 16
	// MaxFiles bounds the paths that packages own.
	MaxFiles = 2 << 20
	// MaxPathBytes bounds the lengths of these paths together.
	MaxPathBytes = 256 << 20
	// MaxLost bounds the shipped files that are not where their package put them and are looked for by content.
	MaxLost = 1 << 18
)

// Positions that are none of a component.
const (
	nobody  = -1
	several = -2
)

// strength says how well a package's claim fits the entry; the strongest wins.
type strength uint8

const (
	_ strength = iota // not claimed
	// ghost: the package owns the path without shipping the file.
	ghost
	// changed: the file is not the one that was shipped.
	changed
	// named: the path fits and nothing more is known.
	named
	// exact: the content is the one that was shipped.
	exact
)

// claim is the best claim to an entry so far.
type claim struct {
	component int32
	strength  strength
}

// claims matches what packages own with the entries of a tree, path by path: a path costs nothing that stays unless it is in
// the tree. It is the sink of the database readers.
type claims struct {
	tree       *tree.Tree
	view       *rootfs.View
	components *components
	ecosystem  string
	// current is the component of the package whose files are taken.
	current int32
	// of holds the best claim to each entry. A directory that packages share belongs to several.
	of []claim
	// lost are shipped files that are not where their package put them, by content.
	lost     map[tree.Digest]int32
	moreLost bool
	// packages, files and pathBytes are what was spent.
	packages, files, pathBytes int
	wrong                      *warnings
}

var _ installed.Sink = (*claims)(nil)

func newClaims(t *tree.Tree, v *rootfs.View, components *components, wrong *warnings) *claims {
	c := &claims{tree: t, view: v, components: components, of: make([]claim, len(t.Entries)),
		lost: make(map[tree.Digest]int32), wrong: wrong}
	for i := range c.of {
		c.of[i].component = nobody
	}
	return c
}

// Warn notes a line about the database that is read.
func (c *claims) Warn(line string) { c.wrong.add(c.ecosystem, line) }

// Package makes a package the owner of the files that follow.
func (c *claims) Package(p *installed.Package) error {
	if c.packages++; c.packages > MaxPackages {
		return fmt.Errorf("%w: more than %d packages", installed.ErrBudget, MaxPackages)
	}
	c.current = c.components.addPackage(c.ecosystem, p)
	return nil
}

// File lets the package before claim one path, where it put it or where it is known to move.
func (c *claims) File(f *installed.File) error {
	if c.files++; c.files > MaxFiles {
		return fmt.Errorf("%w: packages own more than %d paths", installed.ErrBudget, MaxFiles)
	}
	if c.pathBytes += len(f.Path); c.pathBytes > MaxPathBytes {
		return fmt.Errorf("%w: packages own paths of more than %d bytes", installed.ErrBudget, MaxPathBytes)
	}
	if i, ok := c.view.Locate(f.Path); ok && c.offer(i, f) {
		return nil
	}
	for _, p := range movedTo(f.Path) {
		if i, ok := c.view.Locate(p); ok && c.offer(i, f) {
			return nil
		}
	}
	c.lose(f)
	return c.view.Err()
}

// lose notes a file that is not where it belongs, for adopt.
func (c *claims) lose(f *installed.File) {
	if !f.HasDigest || f.Ghost || f.Size == 0 {
		return
	}
	other, known := c.lost[f.Digest]
	switch {
	case known && other != c.current:
		c.lost[f.Digest] = several
	case known:
	case len(c.lost) < MaxLost:
		c.lost[f.Digest] = c.current
	default:
		c.moreLost = true
	}
}

// offer records a claim of the current package to an entry and reports whether it fits at all.
func (c *claims) offer(i int, f *installed.File) bool {
	e := &c.tree.Entries[i]
	if f.Kind != 0 && f.Kind != e.Kind {
		return false
	}
	best := &c.of[i]
	if e.Kind == tree.Dir {
		switch best.component {
		case nobody, c.current:
			*best = claim{c.current, named}
		default:
			best.component = several
		}
		return true
	}
	s := fit(e, f)
	if s > best.strength || s == best.strength && c.components.less(c.current, best.component) {
		*best = claim{c.current, s}
	}
	return true
}

// fit says how well a claimed path fits an entry that is no directory.
func fit(e *tree.Entry, f *installed.File) strength {
	switch {
	case f.Ghost:
		return ghost
	case !f.HasDigest || e.Kind != tree.Regular:
		return named
	case f.Digest == e.Digest:
		return exact
	}
	return changed
}

// over lists the budgets that were exceeded without ending a database, a line each.
func (c *claims) over() []string {
	lines := c.components.over()
	if c.moreLost {
		lines = append(lines,
			fmt.Sprintf("more than %d files are not where packages put them: the others are not looked for", MaxLost))
	}
	return lines
}

// adopt returns the component whose lost file an entry has the content of.
func (c *claims) adopt(e *tree.Entry) (int32, bool) {
	if e.Kind != tree.Regular || e.Size == 0 {
		return 0, false
	}
	component, ok := c.lost[e.Digest]
	return component, ok && component != several
}
