// Package rpmdb reads rpm's package database, in the three formats that rpm has had: sqlite (rpmdb.sqlite), ndb
// (Packages.db) and Berkeley DB hash (Packages).
//
// All three store one header blob per package, which is decoded here. Every byte is hostile: no page of a file is read more
// often than it can be part of a sound database, so that cycles end, and a header is the most that is in memory.
//
// Sqlite's files are read without sqlite. The library takes the schema of a database into memory whole, whatever its size,
// and can be stopped only by the clock, which would make layers depend on how busy a machine is. Of the format, which is
// frozen (https://www.sqlite.org/fileformat2.html), rpm needs a table of blobs and a log.
package rpmdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

// maxPackages bounds the headers of a database, those of packages that are damaged included.
const maxPackages = 1 << 16

// MaxDatabases bounds the database files of an image that are read, in bytes, write-ahead logs included. Big desktops have
// 300 MB.
const MaxDatabases = 1 << 30

// Dirs returns the directories where distributions keep the database, the most recent custom first.
func Dirs() []string {
	return []string{"usr/lib/sysimage/rpm", "usr/share/rpm", "var/lib/rpm"}
}

// format is one way of storing header blobs.
type format struct {
	name string // the database's file name
	// read hands every header blob of the database to take, in an order that depends on its bytes alone. A blob is valid
	// only during the call. One that is longer than maxHeader is not read, and nil is handed over in its place.
	read func(ctx context.Context, db *database, take func(blob []byte) error) error
}

// formats are in the order of their age, the newest first: a converted database may leave the old one behind.
func formats() []format {
	return []format{{"rpmdb.sqlite", readSQLite}, {"Packages.db", readNDB}, {"Packages", readBDB}}
}

// Read hands the packages of the first readable rpm database in v to s; without a database it does nothing. work is a
// directory for copies of databases whose contents are no io.ReaderAt. Errors that wrap installed.ErrDamaged mean that every
// database found is damaged at least in part; packages before the damage have been handed over.
func Read(ctx context.Context, v *rootfs.View, work string, s installed.Sink) error {
	var damage []error
	tried := map[tree.Digest]bool{}
	r := &reader{view: v, work: work, sink: s, left: MaxDatabases}
	for _, f := range formats() {
		for _, dir := range Dirs() {
			p := dir + "/" + f.name
			e := v.Entry(p)
			if e == nil || e.Kind != tree.Regular || e.Size == 0 || tried[e.Digest] {
				continue
			}
			tried[e.Digest] = true
			n, err := r.readDatabase(ctx, p, f)
			switch {
			case err == nil && n > 0:
				return nil
			case errors.Is(err, installed.ErrDamaged), errors.Is(err, rootfs.ErrTooLarge):
				damage = append(damage, fmt.Errorf("%s: %w", p, err))
			case err != nil:
				return fmt.Errorf("%s: %w", p, err)
			}
		}
	}
	return errors.Join(errors.Join(damage...), v.Err())
}

// reader reads the databases of an image.
type reader struct {
	view *rootfs.View
	work string
	sink installed.Sink
	left int64 // bytes of databases that may still be read
}

// readDatabase reads one database and returns how many packages it holds.
func (r *reader) readDatabase(ctx context.Context, p string, f format) (int, error) {
	db := &database{}
	defer db.close()
	var err error
	if db.main, db.size, err = r.open(ctx, p); err != nil {
		return 0, err
	}
	if f.name == sqliteName {
		// Transactions that sqlite has not moved into the database yet lie beside it.
		if db.log, db.logSize, err = r.open(ctx, p+logSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	c := &collector{sink: r.sink, name: p}
	err = f.read(ctx, db, func(blob []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return c.take(blob)
	})
	return c.packages, err
}

// collector decodes header blobs and hands the packages on.
type collector struct {
	sink     installed.Sink
	name     string
	seen     int
	packages int
}

// take decodes one blob. A damaged one costs that package alone.
func (c *collector) take(blob []byte) error {
	c.seen++
	if c.seen > maxPackages {
		return fmt.Errorf("%w: more than %d packages", installed.ErrBudget, maxPackages)
	}
	if blob == nil {
		c.sink.Warn(fmt.Sprintf("%s: package %d has more than %d bytes", c.name, c.seen, maxHeader))
		return nil
	}
	p, files, err := decodePackage(blob)
	if err != nil {
		name := ""
		if p != nil {
			name = p.Name
		}
		c.sink.Warn(fmt.Sprintf("%s: package %d (%q): %v", c.name, c.seen, name, err))
		return nil
	}
	if p == nil {
		return nil
	}
	c.packages++
	if logs := installed.LogsOf(c.sink, p); logs != nil {
		if err := decodeLog(blob, p, logs); err != nil {
			c.sink.Warn(fmt.Sprintf("%s: changelog of %q: %v", c.name, p.Name, err))
		}
	}
	if err := c.sink.Package(p); err != nil {
		return err
	}
	return files.each(c.sink.File)
}
