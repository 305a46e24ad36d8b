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

	_ "modernc.org/sqlite" // writes the databases that are read here

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// makeSQLite makes an empty sqlite database.
func makeSQLite(t testing.TB) (*sql.DB, string) {
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

func execAll(t testing.TB, db *sql.DB, statements ...string) {
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
		"view": {`CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS (SELECT 1 UNION ALL SELECT hnum+1 FROM n) SELECT hnum, zeroblob(9) AS blob FROM n`},
		"generated": {`CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB AS (zeroblob(900000000)))`,
			`INSERT INTO Packages (hnum) VALUES (1), (2)`},
		"no table":  {`CREATE TABLE Other (a)`},
		"no column": {`CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, data BLOB)`},
		"no rowid":  {`CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB) WITHOUT ROWID`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, file := makeSQLite(t)
			execAll(t, db, statements...)
			db.Close()
			err := readSQLite(t.Context(), openDatabase(t, file), func([]byte) error { return nil })
			if !errors.Is(err, installed.ErrDamaged) {
				t.Errorf("read: %v, want damage", err)
			}
		})
	}
}

// loggedPackages returns a database whose only package is in its log, and the log.
func loggedPackages(t testing.TB) (main, log []byte) {
	t.Helper()
	db, file := makeSQLite(t)
	execAll(t, db, `PRAGMA journal_mode=WAL`, `PRAGMA wal_autocheckpoint=0`, createPackages)
	if _, err := db.ExecContext(t.Context(), `INSERT INTO Packages (blob) VALUES (?)`, someHeader("a")); err != nil {
		t.Fatal(err)
	}
	var err error
	if main, err = os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	if log, err = os.ReadFile(file + logSuffix); err != nil {
		t.Fatal(err)
	}
	return main, log
}

// TestSQLiteReadsLog reads an image that was made while the transaction was in the log only.
func TestSQLiteReadsLog(t *testing.T) {
	t.Parallel()
	main, log := loggedPackages(t)
	frame := logFrame + 4096
	for name, tc := range map[string]struct {
		log  []byte
		want int // packages; -1 for no table of them
	}{
		"whole":                {log, 1},
		"begun anew":           {append(bytes.Clone(log), log[logHeader:]...), 1}, // sums do not continue
		"last page torn":       {log[:len(log)-1], 0},
		"last page changed":    {append(bytes.Clone(log[:len(log)-1]), log[len(log)-1]^1), 0},
		"first frame changed":  {append(append(bytes.Clone(log[:logHeader+9]), log[logHeader+9]^0xff), log[logHeader+10:]...), -1},
		"header changed":       {append([]byte{0}, log[1:]...), -1},
		"shorter than a frame": {log[:logHeader+frame-1], -1},
		"none":                 {nil, -1},
	} {
		db := inMemory(main)
		db.log, db.logSize = bytes.NewReader(tc.log), int64(len(tc.log))
		blobs, err := blobsOf(func(take func([]byte) error) error { return readSQLite(t.Context(), db, take) })
		if tc.want < 0 && !errors.Is(err, installed.ErrDamaged) || tc.want >= 0 && (err != nil || len(blobs) != tc.want) {
			t.Errorf("%s: %d packages, %v", name, len(blobs), err)
		}
	}
}

// manyPackages returns a database of some packages on many pages.
func manyPackages(t testing.TB) []byte {
	t.Helper()
	db, file := makeSQLite(t)
	execAll(t, db, `PRAGMA page_size=512`, `PRAGMA synchronous=OFF`, createPackages)
	for range 100 {
		if _, err := db.ExecContext(t.Context(), `INSERT INTO Packages (blob) VALUES (?)`,
			someHeader(strings.Repeat("n", 99))); err != nil {
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
func readBytes(t testing.TB, db []byte) error {
	return readSQLite(t.Context(), inMemory(db), func([]byte) error { return nil })
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
