// Package dpkg reads dpkg's package database: var/lib/dpkg/status with its info directory, or status.d as images built
// without dpkg have it (distroless).
package dpkg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// maxStatus, maxList and maxDiversions bound the files of the database in bytes. Debian's whole archive would need 300 MB
	// of status; the longest list of a package has 10 MB.
	maxStatus     = 512 << 20
	maxList       = 64 << 20
	maxDiversions = 16 << 20
	// maxPackages bounds the packages of a database.
	maxPackages = 1 << 16
)

// Dirs returns the directories where distributions keep the database.
func Dirs() []string {
	return []string{"var/lib/dpkg", "usr/lib/sysimage/dpkg", "usr/share/dpkg/database"}
}

// reader reads the database in one directory.
type reader struct {
	view *rootfs.View
	sink installed.Sink
	dir  string
	// info holds the database's own files about each package, by the name that precedes the extension.
	info      map[string][]string
	diverted  diversions
	changelog *changelogs
	packages  int
	scratch   installed.Package
}

// Read hands the packages of the first dpkg database in v to s; without a database it does nothing. Errors that wrap
// installed.ErrDamaged mean that the database is damaged; packages before the damage have been handed over.
func Read(ctx context.Context, v *rootfs.View, s installed.Sink) error {
	for _, dir := range Dirs() {
		r := &reader{view: v, sink: s, dir: dir, changelog: newChangelogs(v)}
		for _, read := range []func(context.Context) error{r.readStatus, r.readStatusD} {
			if err := read(ctx); err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
		}
		if r.packages > 0 {
			return nil
		}
	}
	return nil
}

// readStatus reads the packages of the status file.
func (r *reader) readStatus(ctx context.Context) error {
	status, err := r.read("status", maxStatus)
	if err != nil || len(status) == 0 {
		return err
	}
	text, err := r.read("diversions", maxDiversions)
	if err != nil {
		return err
	}
	if r.diverted, err = parseDiversions(text); err != nil {
		return err
	}
	r.info = r.infoFiles()
	return parseControl(bytes.NewReader(status), func(c *control) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !c.installed() {
			return nil
		}
		return r.add(c, r.installedFiles)
	})
}

// readStatusD reads the packages of the status.d directory: a control paragraph and a list of checksums each.
func (r *reader) readStatusD(ctx context.Context) error {
	for _, e := range r.view.Children(r.dir + "/status.d") {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := strings.TrimPrefix(e.Path[strings.LastIndexByte(e.Path, '/'):], "/")
		if e.Kind != tree.Regular || strings.HasSuffix(name, sumsSuffix) {
			continue
		}
		text, err := r.read("status.d/"+name, maxList)
		if err != nil {
			return err
		}
		err = parseControl(bytes.NewReader(text), func(c *control) error {
			return r.add(c, func(p *installed.Package, _ *control) error { return r.summedFiles(p, "status.d/"+name) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// add completes a package with its files and changelog and hands it over. A package that makes no sense is skipped.
func (r *reader) add(c *control, files func(*installed.Package, *control) error) error {
	r.packages++
	if r.packages > maxPackages {
		return fmt.Errorf("%w: more than %d packages", installed.ErrDamaged, maxPackages)
	}
	p := &r.scratch
	*p = installed.Package{Name: c.name, Version: c.version, Files: p.Files[:0]}
	p.Source, p.Version = c.sourcePackage()
	if err := c.check(); err != nil {
		r.sink.Warn(fmt.Sprintf("%s: %v", r.dir, err))
		return nil
	}
	if err := files(p, c); err != nil {
		return err
	}
	var err error
	if p.Changes, err = r.changelog.times(p.Source, c); err != nil {
		return err
	}
	return r.sink.Package(p)
}

// read returns a file of the database; nil when there is none. One that is too large is damage.
func (r *reader) read(name string, limit int64) ([]byte, error) {
	b, err := r.view.ReadFile(r.dir+"/"+name, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, rootfs.ErrTooLarge):
		return nil, fmt.Errorf("%w: %w", installed.ErrDamaged, err)
	}
	return b, err
}
