// Package rpmdb reads rpm's package database, in the three formats that rpm has had: sqlite (rpmdb.sqlite), ndb (Packages.db)
// and Berkeley DB hash (Packages).
//
// All three store one header blob per package, which is decoded here. Every byte is hostile: what a database says is bounded
// by rpm's own limits and by the size of its file, cycles included.
package rpmdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// maxDatabase is the longest database file that is read, in bytes. Big desktops have 300 MB.
	maxDatabase = 4 << 30
	// maxPackages bounds the packages of a database.
	maxPackages = 1 << 16
)

// Dirs returns the directories where distributions keep the database, the most recent custom first.
func Dirs() []string {
	return []string{"usr/lib/sysimage/rpm", "usr/share/rpm", "var/lib/rpm"}
}

// format is one way of storing header blobs.
type format struct {
	name string // the database's file name
	// read hands every header blob of the file to take, in an order that depends on the file alone. The blob is valid only
	// during the call.
	read func(ctx context.Context, file string, take func(blob []byte) error) error
}

// formats are in the order of their age, the newest first: a converted database may leave the old one behind.
func formats() []format {
	return []format{{"rpmdb.sqlite", readSQLite}, {"Packages.db", withFile(readNDB)}, {"Packages", withFile(readBDB)}}
}

// Read hands the packages of the first readable rpm database in v to s; without a database it does nothing. work is a
// directory for temporary files. Errors that wrap installed.ErrDamaged mean that every database found is damaged at least in
// part; packages before the damage have been handed over.
func Read(ctx context.Context, v *rootfs.View, work string, s installed.Sink) error {
	var damage []error
	tried := map[tree.Digest]bool{}
	for _, f := range formats() {
		for _, dir := range Dirs() {
			p := dir + "/" + f.name
			e := v.Entry(p)
			if e == nil || e.Kind != tree.Regular || e.Size == 0 || tried[e.Digest] {
				continue
			}
			tried[e.Digest] = true
			n, err := readOne(ctx, v, p, f, work, s)
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
	return errors.Join(damage...)
}

// readOne reads one database and returns how many packages it holds.
func readOne(ctx context.Context, v *rootfs.View, p string, f format, work string, s installed.Sink) (int, error) {
	dir, err := os.MkdirTemp(work, "rpmdb-")
	if err != nil {
		return 0, fmt.Errorf("temporary directory: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, f.name)
	if err := spool(v, p, file); err != nil {
		return 0, err
	}
	// Transactions that sqlite has not moved into the database yet lie beside it.
	if err := spool(v, p+walSuffix, file+walSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	c := &collector{sink: s, name: p}
	err = f.read(ctx, file, func(blob []byte) error {
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
	scratch  installed.Package
}

// take decodes one blob. A damaged one costs that package alone.
func (c *collector) take(blob []byte) error {
	c.seen++
	if c.seen > maxPackages {
		return damaged("more than %d packages", maxPackages)
	}
	ok, err := decodePackage(blob, &c.scratch)
	if err != nil {
		c.sink.Warn(fmt.Sprintf("%s: package %d (%q): %v", c.name, c.seen, c.scratch.Name, err))
		return nil
	}
	if !ok {
		return nil
	}
	c.packages++
	return c.sink.Package(&c.scratch)
}

// spool copies a file of the tree to the machine, because databases are read at random.
func spool(v *rootfs.View, p, file string) (err error) {
	r, _, err := v.Open(p, maxDatabase)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("spool database: %w", err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if _, err := io.Copy(w, r); err != nil {
		return fmt.Errorf("spool database: %w", err)
	}
	return nil
}

// withFile turns a reader of random-access bytes into one of a file.
func withFile(read func(r io.ReaderAt, size int64, take func([]byte) error) error,
) func(context.Context, string, func([]byte) error) error {
	return func(_ context.Context, file string, take func([]byte) error) error {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		return read(f, info.Size(), take)
	}
}

// budget bounds the bytes of all blobs of a database by the size of its file, so that records that point at the same pages
// cannot be turned into endless work.
type budget int64

// spend takes n bytes from the budget.
func (b *budget) spend(n int64) error {
	if n > int64(*b) {
		return damaged("packages take more bytes than the database file has")
	}
	*b -= budget(n)
	return nil
}

// readFull reads exactly len(b) bytes at off; the end of the file is damage, everything else trouble of this machine.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) || err == nil {
		return damaged("file ends before byte %d", off+int64(len(b)))
	}
	return err
}
