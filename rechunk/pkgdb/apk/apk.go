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
	maxDatabase = 128 << 20
	// maxLine is the longest line in bytes.
	maxLine = 1 << 20
)

// Paths returns where distributions keep the database.
func Paths() []string { return []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"} }

// Read hands the packages of the first apk database in v to s; without a database it does nothing. Errors that wrap
// installed.ErrDamaged mean that the database is damaged; packages before the damage have been handed over.
func Read(ctx context.Context, v *rootfs.View, s installed.Sink) error {
	for _, p := range Paths() {
		r, err := v.Text(ctx, p, maxDatabase)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, rootfs.ErrTooLarge) {
			return fmt.Errorf("%w: %w", installed.ErrDamaged, err)
		}
		if err != nil {
			return err
		}
		if err := errors.Join(parse(r, s), r.Close()); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		return nil
	}
	return nil
}

// parse hands over every package with its files. A package is lines of a letter, a colon and a value, closed by an empty
// line; of interest are P name, V version, o origin, t build time, and behind them F directory, R file in the last
// directory.
func parse(r io.Reader, s installed.Sink) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	d := &decoder{sink: s}
	for lines.Scan() {
		line := lines.Bytes()
		switch {
		case len(line) == 0:
			if err := d.end(); err != nil {
				return err
			}
		case len(line) < 2 || line[1] != ':':
			return installed.Damaged("line %.40q is no field", line)
		default:
			if err := d.field(line[0], line[2:]); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return installed.Damaged("line of more than %d bytes", maxLine)
	} else if err != nil {
		return err
	}
	return d.end()
}

// decoder keeps what a package's lines said so far.
type decoder struct {
	sink installed.Sink
	pkg  installed.Package
	// begun says that the package was handed over, since its files follow.
	begun bool
	dir   string
}

// begin hands the package over; its origin is the source package.
func (d *decoder) begin() error {
	if d.begun {
		return nil
	}
	d.begun = true
	if d.pkg.Source == "" {
		d.pkg.Source = d.pkg.Name
	}
	if err := d.pkg.Check(); err != nil {
		return err
	}
	return d.sink.Package(&d.pkg)
}

// end closes a package. Lines without a name are none.
func (d *decoder) end() error {
	var err error
	if d.pkg.Name != "" {
		err = d.begin()
	}
	*d = decoder{sink: d.sink}
	return err
}

// field takes one line.
func (d *decoder) field(letter byte, value []byte) error {
	switch letter {
	case 'P':
		return d.name(&d.pkg.Name, letter, value)
	case 'V':
		d.pkg.Own = string(value[:min(len(value), installed.MaxName)])
		return d.name(&d.pkg.Version, letter, value)
	case 'A':
		return d.name(&d.pkg.Arch, letter, value)
	case 'o':
		return d.name(&d.pkg.Source, letter, value)
	case 't':
		// A build time that is no number is as good as none.
		if t, err := strconv.ParseInt(string(value), 10, 64); err == nil && t > 0 {
			d.pkg.BuildTime = t
		}
	case 'F':
		if len(value) > installed.MaxPath {
			return tooLong(letter, value, installed.MaxPath)
		}
		d.dir = string(value)
		return d.file(&installed.File{Path: d.dir, Kind: tree.Dir})
	case 'R':
		if limit := installed.MaxPath - len(d.dir) - 1; len(value) > limit {
			return tooLong(letter, value, limit)
		}
		return d.file(&installed.File{Path: d.dir + "/" + string(value)})
	}
	return nil
}

// name sets a name of the package.
func (d *decoder) name(to *string, letter byte, value []byte) error {
	if len(value) > installed.MaxName {
		return tooLong(letter, value, installed.MaxName)
	}
	*to = string(value)
	return nil
}

// file hands a file over. One before its package's name belongs to nobody.
func (d *decoder) file(f *installed.File) error {
	if d.pkg.Name == "" {
		return nil
	}
	if err := d.begin(); err != nil {
		return err
	}
	return d.sink.File(f)
}

func tooLong(letter byte, value []byte, limit int) error {
	return installed.Damaged("field %c of %d bytes, at most %d are allowed", letter, len(value), limit)
}
