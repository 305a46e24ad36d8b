package pkgdb

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Installed is a package that the databases of a tree have. All text is printable, as Component.ID is.
type Installed struct {
	// Component is the ID of its source package's component.
	Component string
	Name      string
	// Arch is what it was built for; "" where the database does not tell.
	Arch string
	// Version is the package's own, in its database's notation.
	Version string
	// Source is the source package's name and SourceVersion that one's version.
	Source, SourceVersion string
}

// MaxLogText bounds the changelog entries that Logs returns for one tree, in bytes.
const MaxLogText = 16 << 20

// Packages returns what the databases of a tree have installed, by component, name, architecture and version, and what was
// wrong with them. Errors are those of Read.
func Packages(ctx context.Context, t *tree.Tree, contents tree.Contents, work string) ([]Installed, []Warning, error) {
	l := &listing{}
	all := databases(ctx, rootfs.New(t, contents), work, l)
	if err := readAll(ctx, all, func(ecosystem string) { l.ecosystem = ecosystem }, &l.wrong); err != nil {
		return nil, nil, err
	}
	slices.SortFunc(l.packages, func(a, b Installed) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch),
			cmp.Compare(a.Version, b.Version))
	})
	return l.packages, l.wrong.list, nil
}

// Logs returns the changelogs of these components' packages by component, newest entries first, each entry once. What goes
// beyond MaxLogText is left out. Errors are those of Read.
func Logs(ctx context.Context, t *tree.Tree, contents tree.Contents, work string, components map[string]bool) (
	map[string][]installed.Entry, error) {
	l := &logs{want: components, left: MaxLogText, of: map[string][]installed.Entry{}, from: map[string]string{}}
	all := databases(ctx, rootfs.New(t, contents), work, l)
	if err := readAll(ctx, all, func(ecosystem string) { l.ecosystem = ecosystem }, &warnings{}); err != nil {
		return nil, err
	}
	return l.of, nil
}

// listing collects packages.
type listing struct {
	wrong     warnings
	ecosystem string
	packages  []Installed
	text      int
}

// Package implements installed.Sink, and so does the next.
func (l *listing) Package(p *installed.Package) error {
	i := Installed{
		Component: l.ecosystem + "/" + printable(p.Source), Name: printable(p.Name), Arch: printable(p.Arch),
		Version: printable(p.Own), Source: printable(p.Source), SourceVersion: printable(p.Version),
	}
	l.text += len(i.Component) + len(i.Name) + len(i.Arch) + len(i.Version) + len(i.Source) + len(i.SourceVersion)
	if len(l.packages) >= MaxPackages || l.text > MaxComponentText {
		return fmt.Errorf("%w: more than %d packages, or %d bytes of names and versions", installed.ErrBudget, MaxPackages,
			MaxComponentText)
	}
	l.packages = append(l.packages, i)
	return nil
}

func (l *listing) File(*installed.File) error { return nil }

// Warn implements installed.Sink.
func (l *listing) Warn(line string) { l.wrong.add(l.ecosystem, line) }

// logs collects changelogs. Packages of one source have the same: the first that has any is taken.
type logs struct {
	ecosystem string
	want      map[string]bool
	of        map[string][]installed.Entry
	from      map[string]string // the package whose changelog is a component's
	left      int
}

// Package implements installed.Sink, and so do the next two.
func (l *logs) Package(*installed.Package) error { return nil }

func (l *logs) File(*installed.File) error { return nil }

func (l *logs) Warn(string) {}

// Wants implements installed.Logs.
func (l *logs) Wants(p *installed.Package) bool {
	id := l.ecosystem + "/" + printable(p.Source)
	from, have := l.from[id]
	return l.want[id] && (!have || from == p.Name)
}

// Entry implements installed.Logs.
func (l *logs) Entry(p *installed.Package, e installed.Entry) {
	n := len(e.Title) + len(e.Text)
	if l.left -= n; l.left < 0 {
		return
	}
	id := l.ecosystem + "/" + printable(p.Source)
	l.from[id] = p.Name
	l.of[id] = append(l.of[id], e)
}
