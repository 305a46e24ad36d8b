package rpmdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// TempPattern is how copies of databases are named, as os.CreateTemp takes it, until they lose their name.
const TempPattern = "strata-tmp-rpmdb-*"

// database is a database's file and, if there is one, its write-ahead log, to read at random.
type database struct {
	main, log     io.ReaderAt
	size, logSize int64 // in bytes; 0 without a log
}

// close lets go of the files.
func (db *database) close() {
	for _, r := range []io.ReaderAt{db.main, db.log} {
		if c, ok := r.(io.Closer); ok {
			c.Close() // read only, so nothing is lost
		}
	}
}

// open opens a file of the tree to read at random: itself where its contents can be, else a copy.
func (r *reader) open(ctx context.Context, p string) (io.ReaderAt, int64, error) {
	in, size, err := r.view.Open(p, r.left)
	if err != nil {
		return nil, 0, err
	}
	r.left -= size
	if at, ok := in.(io.ReaderAt); ok {
		return at, size, nil
	}
	defer in.Close()
	w, err := r.spool(ctx, in, size)
	return w, size, err
}

// spool copies a file to a nameless one of this machine. Zeros become a hole.
func (r *reader) spool(ctx context.Context, in io.Reader, size int64) (io.ReaderAt, error) {
	w, err := os.CreateTemp(r.work, TempPattern)
	if err != nil {
		return nil, fmt.Errorf("spool database: %w", err)
	}
	if err := errors.Join(os.Remove(w.Name()), copySparse(ctx, w, in, size)); err != nil {
		w.Close()
		return nil, fmt.Errorf("spool database: %w", err)
	}
	return w, nil
}

// copySparse copies size bytes, or those that there are, and leaves out blocks of zeros.
func copySparse(ctx context.Context, w *os.File, r io.Reader, size int64) error {
	block := make([]byte, 64<<10)
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, block[:min(int64(len(block)), size-at)])
		if err != nil {
			return err // sizes in a tree are right
		}
		if !zero(block[:n]) {
			if _, err := w.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
	}
	return w.Truncate(size)
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// pages counts the pages of a database that may still be read: each is part of one thing, so that who needs more than there
// are reads in circles.
type pages int64

func (p *pages) spend() error {
	if *p--; *p < 0 {
		return installed.Damaged("pages of the database are part of several packages")
	}
	return nil
}

// readFull reads exactly len(b) bytes at off; the end of the file is damage, everything else trouble of this machine.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) || err == nil {
		return installed.Damaged("file ends before byte %d", off+int64(len(b)))
	}
	return err
}
