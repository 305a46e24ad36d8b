package compare

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// MaxEntries bounds SourceChange.Log.
	MaxEntries = 50
	// maxIdentifiers bounds the CVE identifiers of a source package, and of all.
	maxIdentifiers = 5000
)

// News says what is new in an image for those who run it.
type News struct {
	// Packages are those whose versions differ, by name and architecture.
	Packages []PackageChange `json:"packages"`
	// Unchanged is how many packages stayed as they were.
	Unchanged int `json:"packages_unchanged"`
	// Sources are the source packages of these, by component.
	Sources []SourceChange `json:"sources"`
	// CVEs are the identifiers that the entries of all sources name, in ascending order.
	CVEs []string `json:"cves"`
	// Files counts paths other than directories.
	Files FileCounts `json:"files"`
	// Warnings are what was wrong with the package databases, a line for each kind; those of the old image say so.
	Warnings []string `json:"warnings,omitempty"`
}

// PackageChange is a package that came, went or has another version.
type PackageChange struct {
	Name string `json:"name"`
	Arch string `json:"arch,omitempty"`
	// From is empty for one that came, To for one that went.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Component is its source package's, as in the lists of bytes; the kernel's and initramfs's files are "kernel" and
	// "initramfs" there.
	Component string `json:"component"`
}

// SourceChange is a source package of which packages came, went or have another version.
type SourceChange struct {
	Component string `json:"component"`
	Name      string `json:"name"`
	// From and To are its versions, several joined by ", ".
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Log are the entries of the new changelog that the old one does not have, newest first, at most MaxEntries; More is how
	// many were left out. A source of which the old image has no changelog has none.
	Log  []LogEntry `json:"log,omitempty"`
	More int        `json:"log_left_out,omitempty"`
	// CVEs are the identifiers that these name, those left out included, in ascending order.
	CVEs []string `json:"cves,omitempty"`
}

// LogEntry is an entry of a changelog.
type LogEntry struct {
	At    time.Time `json:"at"`
	Title string    `json:"title"`
	Text  string    `json:"text"`
}

// FileCounts counts the files that differ between two images.
type FileCounts struct {
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Removed int `json:"removed"`
}

// Count returns how many packages came, have another version and went.
func (n *News) Count() (added, changed, removed int) {
	for _, p := range n.Packages {
		switch {
		case p.From == "":
			added++
		case p.To == "":
			removed++
		default:
			changed++
		}
	}
	return added, changed, removed
}

// WhatIsNew works out what is new in an image, by the package databases of both and the changelogs that they or the packages
// hold.
func WhatIsNew(ctx context.Context, old, next *rechunk.Inspection) (*News, error) {
	before, wasWrong, err := old.Packages(ctx)
	if err != nil {
		return nil, fmt.Errorf("packages of the old image: %w", err)
	}
	after, isWrong, err := next.Packages(ctx)
	if err != nil {
		return nil, fmt.Errorf("packages of the new image: %w", err)
	}
	out := &News{Packages: []PackageChange{}, CVEs: []string{}, Files: countFiles(old.Tree, next.Tree)}
	for _, w := range isWrong {
		out.Warnings = append(out.Warnings, w.String())
	}
	for _, w := range wasWrong {
		out.Warnings = append(out.Warnings, "the image before: "+w.String())
	}
	out.pair(before, after)
	out.Sources = sources(out.Packages, before, after)
	return out, out.addLogs(ctx, old, next)
}

func countFiles(old, next *tree.Tree) (n FileCounts) {
	changed, _ := changes(old, next)
	for _, i := range changed {
		switch e := &next.Entries[i]; {
		case e.Kind == tree.Dir:
		case old.Lookup(e.Path) == nil:
			n.Added++
		default:
			n.Changed++
		}
	}
	n.Removed = removedFiles(old, next)
	return n
}

// pair finds the packages that differ. Of one that is installed in several versions, those that only one side has are told.
func (n *News) pair(before, after []pkgdb.Installed) {
	type key struct{ name, arch string }
	group := func(list []pkgdb.Installed) map[key][]pkgdb.Installed {
		m := map[key][]pkgdb.Installed{}
		for _, p := range list {
			m[key{p.Name, p.Arch}] = append(m[key{p.Name, p.Arch}], p)
		}
		return m
	}
	was, is := group(before), group(after)
	lacks := func(list, other []pkgdb.Installed) []pkgdb.Installed {
		return slices.DeleteFunc(slices.Clone(list), func(p pkgdb.Installed) bool {
			return slices.ContainsFunc(other, func(o pkgdb.Installed) bool { return o.Version == p.Version })
		})
	}
	for k, list := range is {
		gone, come := lacks(was[k], list), lacks(list, was[k])
		n.Unchanged += len(list) - len(come)
		for len(gone) > 0 && len(come) > 0 {
			n.Packages = append(n.Packages,
				PackageChange{k.name, k.arch, gone[0].Version, come[0].Version, come[0].Component})
			gone, come = gone[1:], come[1:]
		}
		for _, p := range gone {
			n.Packages = append(n.Packages, PackageChange{k.name, k.arch, p.Version, "", p.Component})
		}
		for _, p := range come {
			n.Packages = append(n.Packages, PackageChange{k.name, k.arch, "", p.Version, p.Component})
		}
	}
	for k, list := range was {
		for _, p := range list {
			if _, there := is[k]; !there {
				n.Packages = append(n.Packages, PackageChange{k.name, k.arch, p.Version, "", p.Component})
			}
		}
	}
	slices.SortFunc(n.Packages, func(a, b PackageChange) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.From, b.From),
			cmp.Compare(a.To, b.To))
	})
}

// sources are the source packages of packages that differ.
func sources(list []PackageChange, before, after []pkgdb.Installed) []SourceChange {
	at := map[string]*SourceChange{}
	for _, p := range list {
		at[p.Component] = &SourceChange{Component: p.Component}
	}
	versions := func(installed []pkgdb.Installed, of func(*SourceChange) *string) {
		for _, p := range installed { // by component, but not by the source's version
			s := at[p.Component]
			if s == nil {
				continue
			}
			s.Name = p.Source
			v := of(s)
			if have := strings.Split(*v, ", "); *v == "" {
				*v = p.SourceVersion
			} else if !slices.Contains(have, p.SourceVersion) {
				*v += ", " + p.SourceVersion
			}
		}
	}
	versions(before, func(s *SourceChange) *string { return &s.From })
	versions(after, func(s *SourceChange) *string { return &s.To })
	out := make([]SourceChange, 0, len(at))
	for _, s := range at {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b SourceChange) int { return cmp.Compare(a.Component, b.Component) })
	return out
}

// addLogs adds what the changelogs say.
func (n *News) addLogs(ctx context.Context, old, next *rechunk.Inspection) error {
	want := map[string]bool{}
	for _, s := range n.Sources {
		if s.From != "" && s.To != "" {
			want[s.Component] = true
		}
	}
	if len(want) == 0 {
		return nil
	}
	before, err := old.Changelogs(ctx, want)
	if err != nil {
		return fmt.Errorf("changelogs of the old image: %w", err)
	}
	after, err := next.Changelogs(ctx, want)
	if err != nil {
		return fmt.Errorf("changelogs of the new image: %w", err)
	}
	identifier := regexp.MustCompile(`\bCVE-(?:19|20)[0-9]{2}-[0-9]{4,9}\b`)
	var all []string
	for i := range n.Sources {
		s := &n.Sources[i]
		if was := before[s.Component]; len(was) > 0 {
			s.tell(was, after[s.Component], identifier)
			all = append(all, s.CVEs...)
		}
	}
	n.CVEs = append(n.CVEs, ordered(all)...)
	return nil
}

// tell adds the entries of a changelog that are new, and what they identify.
func (s *SourceChange) tell(before, after []installed.Entry, identifier *regexp.Regexp) {
	known := make(map[installed.Entry]bool, len(before))
	for _, e := range before {
		known[e] = true
	}
	for _, e := range after {
		if known[e] {
			continue
		}
		s.CVEs = append(s.CVEs, identifier.FindAllString(e.Title+"\n"+e.Text, maxIdentifiers)...)
		if len(s.Log) == MaxEntries {
			s.More++
			continue
		}
		s.Log = append(s.Log, LogEntry{At: time.Unix(e.Time, 0).UTC(), Title: e.Title, Text: e.Text})
	}
	s.CVEs = ordered(s.CVEs)
}

// ordered returns CVE identifiers by year and number, each once.
func ordered(ids []string) []string {
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(a[:len("CVE-2000")], b[:len("CVE-2000")]), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	ids = slices.Compact(ids)
	return ids[:min(len(ids), maxIdentifiers)]
}
