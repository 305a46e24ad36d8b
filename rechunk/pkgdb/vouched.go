package pkgdb

import (
	"context"
	"fmt"
	"path"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Vouched reports which of some entries of a tree, by their positions, a package ships. Its database holds their digests or
// may do so: rpm -V and its like compare them. Paths that a package owns without shipping them (%ghost) are not vouched for.
//
// Errors are those of Read, and those about databases that cannot be read to their end: what they vouch for is not known.
func Vouched(ctx context.Context, t *tree.Tree, contents tree.Contents, work string, positions []int) (map[int]bool, error) {
	view := rootfs.New(t, contents)
	v := &vouching{view: view, names: map[string]bool{}, wanted: map[int]bool{}, found: map[int]bool{}}
	for _, i := range positions {
		v.names[path.Base(t.Entries[i].Path)] = true
		v.wanted[i] = true
	}
	for _, db := range databases(ctx, view, work, v) {
		if err := db.read(); err != nil {
			return nil, fmt.Errorf("read %s database: %w", db.name, err)
		}
	}
	if v.damage != "" {
		return nil, installed.Damaged("%s", v.damage)
	}
	return v.found, view.Err()
}

// vouching is the sink of Vouched.
type vouching struct {
	view          *rootfs.View
	names         map[string]bool // base names of what is wanted, since looking up a path costs more
	wanted, found map[int]bool
	files         int
	damage        string // the first thing that had to be skipped
}

// Warn implements installed.Sink: what was skipped might have vouched.
func (v *vouching) Warn(line string) {
	if v.damage == "" {
		v.damage = line
	}
}

// Package implements installed.Sink.
func (v *vouching) Package(*installed.Package) error { return nil }

// File implements installed.Sink.
func (v *vouching) File(f *installed.File) error {
	if v.files++; v.files > MaxFiles {
		return fmt.Errorf("%w: packages own more than %d paths", installed.ErrBudget, MaxFiles)
	}
	if f.Ghost || !v.names[path.Base(f.Path)] {
		return nil
	}
	for _, p := range append([]string{f.Path}, movedTo(f.Path)...) {
		if i, ok := v.view.Locate(p); ok && v.wanted[i] {
			v.found[i] = true
		}
	}
	return v.view.Err()
}
