// Package apk reads Alpine's package database, lib/apk/db/installed.
package apk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// maxDatabase is the longest database that is read, in bytes; real ones have a few MB.
	maxDatabase = 1 << 30
	// maxLine is the longest line in bytes.
	maxLine = 1 << 20
	// maxPackages bounds the packages of a database and maxFiles the files of a package.
	maxPackages = 1 << 16
	maxFiles    = 4 << 20
)

// Paths returns where distributions keep the database.
func Paths() []string { return []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"} }

// Read hands the packages of the first apk database in v to s; without a database it does nothing. Errors that wrap
// installed.ErrDamaged mean that the database is damaged; packages before the damage have been handed over.
func Read(ctx context.Context, v *rootfs.View, s installed.Sink) error {
	for _, p := range Paths() {
		r, _, err := v.Open(p, maxDatabase)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, rootfs.ErrTooLarge) {
			return fmt.Errorf("%w: %w", installed.ErrDamaged, err)
		}
		if err != nil {
			return err
		}
		err = errors.Join(parse(r, func(p *installed.Package) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return s.Package(p)
		}), r.Close())
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		return nil
	}
	return nil
}

// parse hands every package to take. A package is lines of a letter, a colon and a value, closed by an empty line; of interest
// are P name, V version, o origin, t build time, F directory, R file in the last directory.
func parse(r io.Reader, take func(*installed.Package) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	d := &decoder{}
	packages := 0
	flush := func() error {
		if d.pkg.Name == "" {
			return nil
		}
		if packages++; packages > maxPackages {
			return fmt.Errorf("%w: more than %d packages", installed.ErrDamaged, maxPackages)
		}
		err := take(d.done())
		d.reset()
		return err
	}
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		if len(line) < 2 || line[1] != ':' {
			return fmt.Errorf("%w: line %.40q is no field", installed.ErrDamaged, line)
		}
		if err := d.field(line[0], line[2:]); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: line of more than %d bytes", installed.ErrDamaged, maxLine)
	} else if err != nil {
		return err
	}
	return flush()
}

// decoder collects the fields of one package.
type decoder struct {
	pkg installed.Package
	dir string
}

func (d *decoder) reset() { *d = decoder{pkg: installed.Package{Files: d.pkg.Files[:0]}} }

// done returns the package; its origin is the source package.
func (d *decoder) done() *installed.Package {
	if d.pkg.Source == "" {
		d.pkg.Source = d.pkg.Name
	}
	return &d.pkg
}

func (d *decoder) field(letter byte, value string) error {
	limit := installed.MaxName
	switch letter {
	case 'P':
		d.pkg.Name = value
	case 'V':
		d.pkg.Version = value
	case 'o':
		d.pkg.Source = value
	case 't':
		// A build time that is no number is as good as none.
		if t, err := strconv.ParseInt(value, 10, 64); err == nil && t > 0 {
			d.pkg.BuildTime = t
		}
	case 'F':
		d.dir, limit = value, installed.MaxPath
		d.pkg.Files = append(d.pkg.Files, installed.File{Path: value, Kind: tree.Dir})
	case 'R':
		limit = installed.MaxPath - len(d.dir)
		d.pkg.Files = append(d.pkg.Files, installed.File{Path: d.dir + "/" + value})
	default:
		return nil
	}
	if len(value) > limit {
		return fmt.Errorf("%w: field %c of %d bytes, at most %d are allowed", installed.ErrDamaged, letter, len(value), limit)
	}
	if len(d.pkg.Files) > maxFiles {
		return fmt.Errorf("%w: package of more than %d files", installed.ErrDamaged, maxFiles)
	}
	return nil
}
