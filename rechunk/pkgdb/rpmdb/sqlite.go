package rpmdb

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite" // also registers the driver "sqlite"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// walSuffix is what sqlite appends to a database's name for its write-ahead log.
const walSuffix = "-wal"

// readSQLite reads rpm's sqlite format: a table Packages(hnum INTEGER PRIMARY KEY, blob BLOB).
func readSQLite(ctx context.Context, file string, take func([]byte) error) error {
	source, size, err := sqliteSource(file)
	if err != nil {
		return err
	}
	if err := checkWhole(file); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return fmt.Errorf("open sqlite: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if err := checkSchema(ctx, db); err != nil {
		return classify(ctx, err)
	}
	return classify(ctx, queryBlobs(ctx, db, budget(size), take))
}

// sqliteSource returns the URI to open a database with and the bytes that it has, log included.
//
// Without a log the file is opened as immutable: no locks, no shared memory, no attempt at recovery. A log is only read by
// a connection that could write, which is harmless, since the files are our own copies.
func sqliteSource(file string) (string, int64, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", 0, err
	}
	size := info.Size()
	q := url.Values{"_pragma": {"trusted_schema(0)", "cell_size_check(1)", "mmap_size(0)"}}
	if log, err := os.Stat(file + walSuffix); err == nil && log.Size() > 0 {
		size += log.Size()
		q.Set("mode", "rw")
		q.Add("_pragma", "locking_mode(exclusive)")
	} else {
		q.Set("mode", "ro")
		q.Set("immutable", "1")
	}
	// In a URI, what follows "//" is a host until the next slash, so only an absolute path stays a path. Abs also makes one
	// slash of several. URL escapes what a URI gives a meaning: ?, # and %.
	if file, err = filepath.Abs(file); err != nil {
		return "", 0, fmt.Errorf("path of the database: %w", err)
	}
	u := url.URL{Scheme: "file", Path: file, RawQuery: q.Encode()}
	return u.String(), size, nil
}

// checkWhole refuses a database that ends within a page: sqlite would read the rest of the page as zeros.
func checkWhole(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, 18)
	if err := readFull(f, head, 0); err != nil {
		return err
	}
	page := int64(binary.BigEndian.Uint16(head[16:]))
	if page == 1 {
		page = 65536 // which 16 bits cannot hold
	}
	if page < 512 || info.Size()%page != 0 {
		return damaged("%d bytes are no whole number of pages of %d", info.Size(), page)
	}
	return nil
}

// checkSchema refuses what would make the query below run code of the database's choice: views, virtual tables, generated
// columns.
func checkSchema(ctx context.Context, db *sql.DB) error {
	var plain, generated int
	err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema
		WHERE name = 'Packages' COLLATE NOCASE AND type = 'table' AND rootpage > 0`).Scan(&plain)
	if err != nil {
		return err
	}
	if plain != 1 {
		return damaged("no table of packages")
	}
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM pragma_table_xinfo('Packages') WHERE hidden <> 0`).Scan(&generated)
	if err != nil {
		return err
	}
	if generated != 0 {
		return damaged("the table of packages has generated columns")
	}
	return nil
}

// queryBlobs hands every package's blob to take, in the order of their row numbers.
func queryBlobs(ctx context.Context, db *sql.DB, left budget, take func([]byte) error) error {
	rows, err := db.QueryContext(ctx, `SELECT CASE WHEN length(blob) <= ? THEN blob END FROM Packages ORDER BY rowid`, maxHeader)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var blob sql.RawBytes
		if err := rows.Scan(&blob); err != nil {
			return err
		}
		if err := left.spend(int64(len(blob))); err != nil {
			return err
		}
		if err := take(blob); err != nil {
			return err
		}
	}
	// Corruption in the middle of the table ends the rows early and shows only here.
	return rows.Err()
}

// classify tells a damaged database from a full disk and from a caller who has gone away: what sqlite says of the bytes
// becomes installed.ErrDamaged.
func classify(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, installed.ErrDamaged) {
		return err
	}
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Code() == codeShortRead {
		return fmt.Errorf("%w: %w", installed.ErrDamaged, err)
	}
	switch e.Code() & 0xff {
	case codeError, codeCorrupt, codeFormat, codeTooBig, codeNotADB, codeMismatch, codeReadOnly, codeCantOpen:
		return fmt.Errorf("%w: %w", installed.ErrDamaged, err)
	}
	return err
}

// codeShortRead is the one extended result code for trouble in reading that a database's bytes can provoke.
const codeShortRead = 522

// The primary result codes of sqlite that a database's bytes can provoke.
const (
	codeError    = 1
	codeReadOnly = 8 // a log that asks for recovery
	codeCorrupt  = 11
	codeCantOpen = 14 // a file format version that sqlite cannot open
	codeTooBig   = 18
	codeMismatch = 20
	codeFormat   = 24
	codeNotADB   = 26
)
