package pkgdb

import (
	"fmt"
	"slices"

	"github.com/strata-oci/strata/rechunk/legible"
)

const (
	// maxLines bounds Warning.Lines, and maxLine each in bytes.
	maxLines = 20
	maxLine  = 1 << 10
)

// What is no database is told with them.
const (
	budgets    = "budgets"        // of all databases together
	attributes = "user.component" // set by whoever builds an image
)

// Warning is what was wrong with the databases of one kind.
type Warning struct {
	// Database is the kind: a package manager's name, "user.component" for that attribute, or "budgets" for those that all
	// databases share.
	Database string
	// Count is how many things were wrong, such as packages that were skipped.
	Count int
	// Lines says what the first of these were, at most 20, legibly. What ended a database comes before the others.
	Lines []string
}

// String says in one line what was wrong first, and how much else was.
func (w Warning) String() string {
	line := w.Database + ": " + w.Lines[0]
	if w.Count > 1 {
		line += fmt.Sprintf("; and %s of %s", legible.Count(w.Count-1, "more warning"), w.Database)
	}
	return line
}

// warnings are what was wrong, by kind of database: many of one kind hide none of another.
type warnings struct{ list []Warning }

// add notes a line about a database, which has a say in it.
func (w *warnings) add(database, line string) { w.insert(database, line, maxLines) }

// first is add for what is not to be lost among lines about single packages.
func (w *warnings) first(database, line string) { w.insert(database, line, 0) }

func (w *warnings) insert(database, line string, at int) {
	i := slices.IndexFunc(w.list, func(have Warning) bool { return have.Database == database })
	if i < 0 {
		i = len(w.list)
		w.list = append(w.list, Warning{Database: database})
	}
	have := &w.list[i]
	have.Count++
	if at = min(at, len(have.Lines)); at < maxLines {
		have.Lines = slices.Insert(have.Lines, at, legible.Clip(line, maxLine))
		have.Lines = have.Lines[:min(len(have.Lines), maxLines)]
	}
}
