package installed

import (
	"strings"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/legible"
)

const (
	// MaxEntries bounds the entries of one changelog that are handed over.
	MaxEntries = 256
	// MaxEntry bounds an entry's title and text together, half of it each, in bytes.
	MaxEntry = 16 << 10
)

// Entry is one entry of a package's changelog.
type Entry struct {
	// Time is in seconds since the Unix epoch; 0 when unknown.
	Time int64
	// Title is the line that an entry begins with, as the database has it: dpkg's names source package and version, rpm's
	// who wrote it and, mostly, the version.
	Title string
	// Text is what follows, lines of valid UTF-8 without trailing space. What is longer than MaxEntry is cut.
	Text string
}

// Logs takes changelogs. A Sink that implements it is given those of the packages that it wants, besides.
type Logs interface {
	// Wants reports whether the changelog of a package is wanted. It is asked before Sink.Package is called with it.
	Wants(p *Package) bool
	// Entry takes one entry of a wanted package's changelog, in the order of the changelog, which is newest first, at most
	// MaxEntries of each.
	Entry(p *Package, e Entry)
}

// LogsOf returns what takes changelogs of a package; nil where nothing does.
func LogsOf(s Sink, p *Package) Logs {
	if l, ok := s.(Logs); ok && l.Wants(p) {
		return l
	}
	return nil
}

// Text returns the beginning of what a database has as text, at most so many bytes: valid UTF-8 that is legible, and without
// space at its end.
func Text(b []byte, most int) string {
	s := legible.Text(string(b[:min(len(b), most)]))
	if len(s) > most {
		for s = s[:most]; !utf8.ValidString(s); {
			s = s[:len(s)-1]
		}
	}
	return strings.TrimRight(s, " \t\n")
}
