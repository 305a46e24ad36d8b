package treetest

import (
	"slices"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// Package is a package with the files that were handed over after it.
type Package struct {
	Name, Source, Version string
	BuildTime             int64
	Changes               []int64
	Files                 []installed.File
}

// Sink keeps what a reader hands over. Err, if set, is what Package returns.
type Sink struct {
	Packages []Package
	Warnings []string
	Err      error
}

var _ installed.Sink = (*Sink)(nil)

// Package implements installed.Sink.
func (s *Sink) Package(p *installed.Package) error {
	s.Packages = append(s.Packages, Package{
		Name: p.Name, Source: p.Source, Version: p.Version, BuildTime: p.BuildTime, Changes: slices.Clone(p.Changes),
	})
	return s.Err
}

// File implements installed.Sink.
func (s *Sink) File(f *installed.File) error {
	p := &s.Packages[len(s.Packages)-1]
	p.Files = append(p.Files, *f)
	return nil
}

// Warn implements installed.Sink.
func (s *Sink) Warn(line string) { s.Warnings = append(s.Warnings, line) }
