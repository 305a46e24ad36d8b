// Package installed holds what a package database says in the terms that all databases share: packages, the source package
// each was built from, and the files they own.
package installed

import (
	"errors"

	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrDamaged marks what is wrong with a database's bytes, as against trouble in reading them. A reader that returns it has
// handed over everything it could make sense of before.
var ErrDamaged = errors.New("damaged package database")

// ErrBudget marks an image whose databases want more than is spent on one image; the error names the budget. What was handed
// over before stands.
var ErrBudget = errors.New("package databases are over budget")

// MaxPath is the length in bytes from which on a path in a database is nonsense: Linux's PATH_MAX.
const MaxPath = 4096

// MaxName is the longest name or version of a package that is believed, in bytes.
const MaxName = 255

// MaxChanges bounds Package.Changes.
const MaxChanges = 256

// Package is one installed package.
type Package struct {
	// Name is the package's own name, for messages.
	Name string
	// Source is the name of the source package; the package's own name where the database knows no source.
	Source string
	// Version is the source package's version, or the package's own where the source's is not recorded.
	Version string
	// Own is the package's own version; rpm's with its epoch, where that is not 0, and its release.
	Own string
	// Arch is the architecture that it was built for; "" where the database does not tell.
	Arch string
	// BuildTime is in seconds since the Unix epoch; 0 when unknown.
	BuildTime int64
	// Changes are distinct times of changelog entries in seconds since the Unix epoch, newest first, at most MaxChanges.
	Changes []int64
}

// Check returns an error that wraps ErrDamaged unless the package's names can be some: there, and of at most MaxName bytes.
func (p *Package) Check() error {
	if p.Name == "" || p.Source == "" {
		return Damaged("package without a name")
	}
	for _, s := range []string{p.Name, p.Source, p.Version, p.Own, p.Arch} {
		if len(s) > MaxName {
			return Damaged("package %.40q: a name or version of %d bytes, at most %d are allowed", p.Name, len(s), MaxName)
		}
	}
	return nil
}

// File is one path that a package owns.
type File struct {
	// Path is as the database writes it: absolute or relative to the root, as it was when the package was built. It has at
	// most MaxPath bytes.
	Path string
	// Kind is the object's type; 0 when the database does not tell.
	Kind tree.Kind
	// Size is a regular file's length in bytes; 0 when unknown.
	Size int64
	// Digest is a regular file's SHA-256 and HasDigest says whether the database records one.
	Digest    tree.Digest
	HasDigest bool
	// Ghost marks a path that the package owns but does not ship: something else makes it.
	Ghost bool
}

// Sink takes what a reader finds as it finds it, so that nothing of a database is collected. It is called from one
// goroutine. An error of Package or File ends the reading and is returned by the reader.
type Sink interface {
	// Package takes one package, which is valid only until the call returns.
	Package(p *Package) error
	// File takes one path that the package before owns, in the database's order. It is valid only until the call returns.
	File(f *File) error
	// Warn takes one line about a part of the database that had to be skipped.
	Warn(line string)
}
