package rpmdb

import (
	"bytes"
	"database/sql"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// openSQLite makes an empty sqlite database.
func openSQLite(t *testing.T) (*sql.DB, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db, file
}

func execAll(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

const createPackages = `CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)`

func TestSQLiteRefusesCode(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string][]string{
		"view":      {`CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS (SELECT 1 UNION ALL SELECT hnum+1 FROM n) SELECT hnum, zeroblob(9) AS blob FROM n`},
		"generated": {`CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB AS (zeroblob(900000000)))`, `INSERT INTO Packages (hnum) VALUES (1), (2)`},
		"no table":  {`CREATE TABLE Other (a)`},
		"no column": {`CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, data BLOB)`},
		"no rowid":  {`CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB) WITHOUT ROWID`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, file := openSQLite(t)
			execAll(t, db, statements...)
			db.Close()
			err := readSQLite(t.Context(), file, func([]byte) error { return nil })
			if !errors.Is(err, installed.ErrDamaged) {
				t.Errorf("read: %v, want damage", err)
			}
		})
	}
}

func TestSQLiteReadsLog(t *testing.T) {
	t.Parallel()
	db, file := openSQLite(t)
	execAll(t, db, `PRAGMA journal_mode=WAL`, `PRAGMA wal_autocheckpoint=0`, createPackages)
	if _, err := db.ExecContext(t.Context(), `INSERT INTO Packages (blob) VALUES (?)`, someHeader("a")); err != nil {
		t.Fatal(err)
	}
	// The image was made while the transaction was in the log only.
	dir := t.TempDir()
	for _, suffix := range []string{"", walSuffix} {
		b, err := os.ReadFile(file + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "rpmdb.sqlite"+suffix), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := blobsOf(func(take func([]byte) error) error {
		return readSQLite(t.Context(), filepath.Join(dir, "rpmdb.sqlite"), take)
	})
	if err != nil || len(blobs) != 1 {
		t.Errorf("%d packages, %v", len(blobs), err)
	}
}

// manyPackages returns a database of some packages on many pages.
func manyPackages(t *testing.T) []byte {
	t.Helper()
	db, file := openSQLite(t)
	execAll(t, db, `PRAGMA page_size=512`, `PRAGMA synchronous=OFF`, createPackages)
	for range 100 {
		if _, err := db.ExecContext(t.Context(), `INSERT INTO Packages (blob) VALUES (?)`, someHeader(strings.Repeat("n", 99))); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// readBytes reads a sqlite database from memory.
func readBytes(t *testing.T, db []byte) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	if err := os.WriteFile(file, db, 0o600); err != nil {
		t.Fatal(err)
	}
	return readSQLite(t.Context(), file, func([]byte) error { return nil })
}

// TestSQLiteCutIsDamage cuts a database: what is missing must show as an error.
func TestSQLiteCutIsDamage(t *testing.T) {
	t.Parallel()
	whole := manyPackages(t)
	if err := readBytes(t, whole); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 100, 512, 1024, 4096, len(whole) / 2, len(whole) - 512, len(whole) - 1} {
		if err := readBytes(t, whole[:n]); !errors.Is(err, installed.ErrDamaged) {
			t.Errorf("cut to %d of %d bytes: %v, want damage", n, len(whole), err)
		}
	}
}

// TestSQLiteFlips changes bytes at random: the error, if any, must be that of a damaged database.
func TestSQLiteFlips(t *testing.T) {
	t.Parallel()
	whole := manyPackages(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		db := bytes.Clone(whole)
		at := rnd.IntN(len(db))
		if rnd.IntN(2) == 0 {
			at = at / 512 * 512 % len(db) // the headers of pages matter most
			at += rnd.IntN(min(100, len(db)-at))
		}
		db[at] ^= byte(1 + rnd.IntN(255))
		if err := readBytes(t, db); err != nil && !errors.Is(err, installed.ErrDamaged) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
}
