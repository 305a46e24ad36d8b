package pkgdb

import (
	"fmt"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// maxWarnings bounds Owners.Warnings.
	maxWarnings = 100
	// maxClaims bounds the paths that all databases of an image own together.
	maxClaims = 32 << 20
	// maxOrphans bounds the lost files that are looked for.
	maxOrphans = 1 << 20
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

// claims matches what packages own with the entries of a tree. It is the sink of the database readers.
type claims struct {
	tree      *tree.Tree
	view      *rootfs.View
	parts     *table
	ecosystem string
	// of holds the best claim to each entry. A directory that packages share belongs to several.
	of []claim
	// orphans are shipped files that are not where their package put them, by content.
	orphans  map[tree.Digest]int32
	seen     int
	warnings []string
}

var _ installed.Sink = (*claims)(nil)

func newClaims(t *tree.Tree, v *rootfs.View, parts *table) *claims {
	c := &claims{tree: t, view: v, parts: parts, of: make([]claim, len(t.Entries)), orphans: make(map[tree.Digest]int32)}
	for i := range c.of {
		c.of[i].component = nobody
	}
	return c
}

// Warn keeps a line about a damaged database. It is escaped, since databases have a say in it.
func (c *claims) Warn(line string) {
	if len(c.warnings) < maxWarnings {
		c.warnings = append(c.warnings, printable(line))
	}
}

// Package lets a package claim its files.
func (c *claims) Package(p *installed.Package) error {
	if c.seen += len(p.Files); c.seen > maxClaims {
		return fmt.Errorf("%w: packages own more than %d paths", installed.ErrDamaged, maxClaims)
	}
	component := c.parts.addPackage(c.ecosystem, p)
	for i := range p.Files {
		c.file(&p.Files[i], component)
	}
	return nil
}

// file lets a component claim one path, where the package put it or where it is known to move.
func (c *claims) file(f *installed.File, component int32) {
	if i, ok := c.view.Locate(f.Path); ok && c.offer(i, f, component) {
		return
	}
	for _, p := range movedTo(f.Path) {
		if i, ok := c.view.Locate(p); ok && c.offer(i, f, component) {
			return
		}
	}
	if !f.HasDigest || f.Ghost || f.Size == 0 {
		return
	}
	other, known := c.orphans[f.Digest]
	if known && other != component {
		component = several
	}
	if known || len(c.orphans) < maxOrphans {
		c.orphans[f.Digest] = component
	}
}

// offer records a claim to an entry and reports whether it fits at all.
func (c *claims) offer(i int, f *installed.File, component int32) bool {
	e := &c.tree.Entries[i]
	if f.Kind != 0 && f.Kind != e.Kind {
		return false
	}
	best := &c.of[i]
	if e.Kind == tree.Dir {
		switch best.component {
		case nobody, component:
			*best = claim{component, named}
		default:
			best.component = several
		}
		return true
	}
	s := fit(e, f)
	if s > best.strength || s == best.strength && c.parts.less(component, best.component) {
		*best = claim{component, s}
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

// adopt returns the component whose lost file an entry has the content of.
func (c *claims) adopt(e *tree.Entry) (int32, bool) {
	if e.Kind != tree.Regular || e.Size == 0 {
		return 0, false
	}
	component, ok := c.orphans[e.Digest]
	return component, ok && component != several
}
