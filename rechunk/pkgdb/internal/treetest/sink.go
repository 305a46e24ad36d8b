package treetest

import (
	"slices"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// Sink keeps what a reader hands over. Err, if set, is what Package returns.
type Sink struct {
	Packages []installed.Package
	Warnings []string
	Err      error
}

var _ installed.Sink = (*Sink)(nil)

// Package implements installed.Sink.
func (s *Sink) Package(p *installed.Package) error {
	c := *p
	c.Files = slices.Clone(p.Files)
	c.Changes = slices.Clone(p.Changes)
	s.Packages = append(s.Packages, c)
	return s.Err
}

// Warn implements installed.Sink.
func (s *Sink) Warn(line string) { s.Warnings = append(s.Warnings, line) }
