// Package dpkg reads dpkg's package database: var/lib/dpkg/status with its info directory, or status.d as images built
// without dpkg have it (distroless).
package dpkg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// maxStatus and maxList bound the files of the database in bytes. A server's status has 2 MB, one of ten thousand
	// packages 20; the longest list of a package has 10 MB.
	maxStatus = 128 << 20
	maxList   = 64 << 20
)

// Dirs returns the directories where distributions keep the database.
func Dirs() []string {
	return []string{"var/lib/dpkg", "usr/lib/sysimage/dpkg", "usr/share/dpkg/database"}
}

// reader reads the database in one directory.
type reader struct {
	view      *rootfs.View
	sink      installed.Sink
	dir       string
	diverted  diversions
	changelog *changelogs
	packages  int
}

// Read hands the packages of the first dpkg database in v to s; without a database it does nothing. Errors that wrap
// installed.ErrDamaged mean that the database is damaged; packages before the damage have been handed over.
func Read(ctx context.Context, v *rootfs.View, s installed.Sink) error {
	logs := newChangelogs(v, s.Warn)
	for _, dir := range Dirs() {
		r := &reader{view: v, sink: s, dir: dir, changelog: logs}
		for _, read := range []func(context.Context) error{r.readStatus, r.readStatusD} {
			if err := read(ctx); err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
		}
		if r.packages > 0 {
			return nil
		}
	}
	return v.Err()
}

// readStatus reads the packages of the status file.
func (r *reader) readStatus(ctx context.Context) error {
	return r.read(ctx, "status", maxStatus, func(status io.Reader) error {
		err := r.read(ctx, "diversions", maxDiversions, func(in io.Reader) (err error) {
			r.diverted, err = parseDiversions(in)
			return err
		})
		if err != nil {
			return err
		}
		return parseControl(status, func(c *control) error {
			if !c.installed() {
				return nil
			}
			return r.add(ctx, c, r.installedFiles)
		})
	})
}

// readStatusD reads the packages of the status.d directory: a control paragraph and a list of checksums each.
func (r *reader) readStatusD(ctx context.Context) error {
	for e := range r.view.Children(r.dir+"/status.d", "") {
		name := e.Path[strings.LastIndexByte(e.Path, '/')+1:]
		if e.Kind != tree.Regular || strings.HasSuffix(name, sumsSuffix) {
			continue
		}
		err := r.read(ctx, "status.d/"+name, maxList, func(text io.Reader) error {
			return parseControl(text, func(c *control) error {
				return r.add(ctx, c, func(ctx context.Context,
					_ *control) error {
					return r.summedFiles(ctx, "status.d/"+name)
				})
			})
		})
		if err != nil {
			return err
		}
	}
	return r.view.Err()
}

// add hands a package over, with its files and the times of its changelog. A package that makes no sense is skipped.
func (r *reader) add(ctx context.Context, c *control, files func(context.Context, *control) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.packages++
	if err := c.check(); err != nil {
		r.sink.Warn(fmt.Sprintf("%s: %v", r.dir, err))
		return nil
	}
	p := &installed.Package{Name: c.name, Own: c.version, Arch: c.arch}
	p.Source, p.Version = c.sourcePackage()
	var err error
	if p.Changes, err = r.changelog.read(ctx, p, c, installed.LogsOf(r.sink, p)); err != nil {
		return err
	}
	if err := r.sink.Package(p); err != nil {
		return err
	}
	return files(ctx, c)
}

// read calls do with a file of the database, unless there is none. One that is too large is damage.
func (r *reader) read(ctx context.Context, name string, limit int64, do func(io.Reader) error) error {
	in, err := r.view.Text(ctx, r.dir+"/"+name, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, rootfs.ErrTooLarge):
		return fmt.Errorf("%w: %w", installed.ErrDamaged, err)
	case err != nil:
		return err
	}
	return errors.Join(do(in), in.Close())
}
